"""Market tables become a MarketFrame: defaults stated, prices never invented, rows in order."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bad_input.cases import MARKET
from crossmargin.adapters.codec import market_from_json
from crossmargin.base.errors import InputInvalid, MarketInvalid
from crossmargin.domain.instruments import (
    Instrument,
    Kind,
    KindCode,
    Payoff,
    PayoffCode,
    Style,
)
from crossmargin.frames.findings import stamp_ns
from crossmargin.frames.listing import MarketTables, compile_market, unknown_classes
from crossmargin.frames.market import MarketFrame, Status, asset_prices, asset_status


def tables() -> MarketTables:
    return market_from_json(json.dumps(MARKET).encode(), "m")


def frame(changed: MarketTables | None = None, stale_s: float = 60.0) -> MarketFrame:
    return compile_market(changed or tables(), stale_s)[0]


def with_factors(**columns: pl.Series | pl.Expr) -> MarketTables:
    made = tables()
    return dataclasses.replace(made, factors=made.factors.with_columns(**columns))


def test_prices_follow_from_loads():
    prices = dict(zip(frame().assets.names, asset_prices(frame()), strict=True))
    assert prices["USD"] == 1.0
    assert prices["stETH"] == pytest.approx(3000.0 * 0.999, rel=1e-14)


def test_a_pool_share_is_a_function_of_two_prices():
    made = tables()
    share = made.assets.tail(1).with_columns(
        asset=pl.lit("LP"), loads=pl.lit("ETH/USD^0.5*USDC/USD^0.5"), scale=pl.lit(2.0),
        **{"class": pl.lit("lp_share")},
    )  # fmt: skip
    assets = pl.concat([made.assets, share], how="diagonal")
    market = frame(dataclasses.replace(made, assets=assets))
    # 2 sqrt(3000 x 1)
    assert asset_prices(market)[-1] == pytest.approx(2.0 * math.sqrt(3000.0), rel=1e-14)


def test_what_is_left_out_gets_the_documented_default():
    market = frame()
    assert (market.factors.half_width == 0.0).all()
    assert (market.factors.stable_price == market.factors.level).all()
    assert (market.factors.age_s == 0.0).all()
    assert np.isnan(market.factors.sigma_daily).all()  # the rulebook's class value is used
    assert (market.assets.scale == 1.0).all()
    table = market.instruments
    assert table.contract_size.tolist() == [1.0, 10.0, 1.0, 1.0, 1.0]
    assert table.rate[table.kind == KindCode.CALL].tolist() == [0.0]
    assert np.isnan(table.rate[table.kind != KindCode.CALL]).all()
    names = market.assets.names
    assert [names[row] for row in table.settle] == ["USDC", "ETH", "USDC", "ETH", "USDC"]
    assert table.payoff.tolist() == [
        PayoffCode.LINEAR, PayoffCode.INVERSE, PayoffCode.LINEAR, PayoffCode.QUANTO,
        PayoffCode.LINEAR,
    ]  # fmt: skip


def test_a_spot_instrument_without_a_mark_costs_the_ratio_of_its_assets():
    assert frame().instruments.forward[-1] == pytest.approx(3000.0)


@pytest.mark.parametrize(("age_s", "limit_s", "want"), [
    (60.0, 60.0, Status.LIVE),  # the limit itself is still fresh
    (60.001, 60.0, Status.STALE),
    (0.0, 60.0, Status.LIVE),
])  # fmt: skip
def test_age_beyond_the_limit_is_stale(age_s: float, limit_s: float, want: Status):
    market = frame(with_factors(age_s=pl.lit(age_s)), limit_s)
    assert (market.factors.status == want).all()
    assert (asset_status(market)[1:] == want).all()
    assert asset_status(market)[0] == Status.LIVE  # the numeraire has no factor to be old


def test_a_halted_price_is_not_made_better_by_its_age():
    market = frame(with_factors(status=pl.lit("halted"), age_s=pl.lit(1e6)))
    assert (market.factors.status == Status.HALTED).all()


def test_a_missing_price_may_keep_its_last_good_level():
    market = frame(with_factors(status=pl.lit("missing")))
    assert (market.factors.status == Status.MISSING).all()
    assert market.factors.level[0] == 60000.0


@pytest.mark.parametrize("expiry", [
    pl.Series(["2026-03-27T08:00:00Z"] * 5),
    pl.Series(["2026-03-27T09:00:00+01:00"] * 5),
    pl.Series(["2026-03-27 08:00"] * 5),
    pl.Series([stamp_ns("2026-03-27T08:00Z")] * 5),
    pl.Series(["2026-03-27T08:00"] * 5).str.to_datetime(time_unit="ms"),
    pl.Series(["2026-03-27T08:00"] * 5).str.to_datetime(time_unit="us").dt.replace_time_zone("UTC"),
])  # fmt: skip
def test_every_way_to_write_an_expiry_is_the_same_moment(expiry: pl.Series):
    made = tables()
    dated = made.instruments.with_columns(expiry=expiry).filter(
        pl.col("kind").is_in(["call", "future"])
    )
    market = frame(dataclasses.replace(made, instruments=dated))
    assert (market.instruments.expiry_ns == 1_774_598_400 * 10**9).all()


def test_numbers_written_as_text_are_read():
    made = tables()
    texts = made.factors.with_columns(level=pl.col("level").cast(pl.String))
    assert frame(dataclasses.replace(made, factors=texts)).factors.level.tolist() == (
        frame().factors.level.tolist()
    )


def test_a_future_may_call_its_forward_mark_price():
    made = tables()
    renamed = made.instruments.rename({"forward": "mark_price"})
    market = frame(dataclasses.replace(made, instruments=renamed))
    assert market.instruments.forward.tolist() == frame().instruments.forward.tolist()


def test_an_unknown_column_is_refused_with_the_nearest_name():
    made = tables()
    extra = made.instruments.with_columns(mark_prize=pl.lit(1.0))
    with pytest.raises(InputInvalid, match="did you mean mark_price"):
        frame(dataclasses.replace(made, instruments=extra))


def test_every_fault_of_structure_is_reported_at_once():
    made = tables()
    assets = made.assets.with_columns(loads=pl.lit("NOPE/USD"), decimals=pl.lit(-1.0))
    with pytest.raises(MarketInvalid) as caught:
        frame(dataclasses.replace(made, assets=assets))
    assert len(caught.value.findings) >= 2 * len(assets)


def test_a_class_the_rulebook_lacks_is_named():
    findings = unknown_classes(frame(), {"BTC", "ETHH", "stablecoin", "lst_basis"})
    assert [f.found for f in findings] == ["ETH"]
    assert "ETHH" in findings[0].remedy


NUMBERS = [None, float("nan"), float("inf"), -1.0, 0.0, 0.5, 3500.0]


@given(st.fixed_dictionaries({
    "kind": st.sampled_from(Kind), "payoff": st.sampled_from(Payoff),
    "style": st.sampled_from(Style), "settle": st.sampled_from(["BTC", "ETH", "USD"]),
    "strike": st.sampled_from(NUMBERS), "quanto_rate": st.sampled_from(NUMBERS),
    "contract_size": st.sampled_from(NUMBERS), "dated": st.booleans(),
}))  # fmt: skip
def test_the_columns_refuse_what_the_domain_refuses(terms: dict[str, object]):
    """One hand-built value and one row of a table: the same verdict."""
    dated, kind = terms.pop("dated"), terms["kind"]
    expiry = "2026-03-27T08:00:00Z" if dated else None
    names = {"instrument": "X", "underlying": "BTC", "quote": "USD"}
    given_terms = {name: value for name, value in terms.items() if value is not None}
    try:
        Instrument(**names, **given_terms, expiry_ns=stamp_ns(expiry) if expiry else 0)
        refused = False
    except InputInvalid:
        refused = True
    # What the columns know beyond the domain: a perpetual or spot has no expiry.
    refused |= bool(dated) and kind in (Kind.PERPETUAL, Kind.SPOT)
    made = tables()
    row = names | given_terms | {"expiry": expiry, "forward": 60000.0, "iv": 0.5}
    one = pl.DataFrame({name: [value] for name, value in row.items()})
    try:
        frame(dataclasses.replace(made, instruments=one))
        found = False
    except MarketInvalid:
        found = True
    assert found == refused
