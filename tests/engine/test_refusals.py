"""Every reason of refusal, what it says, and which comes first.

A row: where it is arranged, the command, the reason, and the facts: what was asked, what was free,
where. None means that the refusal carries no such fact.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from crossmargin.domain.book import Mark, OrderState, Print, Scenarios
from crossmargin.engine import commands as c
from crossmargin.engine.replies import Rejected, Rejection
from crossmargin.ledger.events import PoolTerms
from engine.arranged import ARRANGED
from engine.small import (
    BTC,
    CT,
    ETH,
    FACTORS,
    MONEY,
    SECOND,
    T0,
    USD,
    USDC,
    Side,
    account,
    bucket,
    holding,
    listing,
    order,
    prices,
    rulebook,
    trade,
)

MANY = 10**38  # far too large for anything
COINS = 10**18  # the most of one command: coins, contracts, numeraire units
ANY = "*"  # a sentence of another floor, not compared


def pay(account: str = "ann", amount: int = 1, asset: str = "USD", **more: Any) -> c.Deposit:
    return c.Deposit(account=account, asset=asset, amount=amount, **more)


def take(account: str = "ann", amount: int = 1, asset: str = "USD", **more: Any) -> c.Withdraw:
    return c.Withdraw(account=account, asset=asset, amount=amount, **more)


def lend(account: str = "dan", amount: int = 1, asset: str = "USD") -> c.Borrow:
    return c.Borrow(account=account, asset=asset, amount=amount)


def move(amount: int = 1, asset: str = "USD", **more: Any) -> c.Transfer:
    return c.Transfer(account="ann", asset=asset, amount=amount, **{"to_pool": "b", **more})


def sell_out(
    account: str = "liq", contracts: int = CT, price: str = "2000", instrument: str = "ETH-PERP",
    buys: bool = False, counterparty: Side | str = "@outside", **more: Any,
) -> c.Liquidate:  # fmt: skip
    other = Side(counterparty) if isinstance(counterparty, str) else counterparty
    return c.Liquidate(
        account=account, instrument=instrument, contracts=contracts, price=price, buys=buys,
        counterparty=other, **more,
    )  # fmt: skip


def adl(
    bankrupt: str = "broke", other: str = "safe", contracts: int = CT, **more: Any
) -> c.Deleverage:
    return c.Deleverage(**{
        "instrument": "ETH-PERP", "contracts": contracts, "price": "2000",
        "bankrupt": (bankrupt, "shared"), "bankrupt_buys": False,
        "counterparty": (other, "shared"), **more,
    })  # fmt: skip


def draw(account: str = "ann", amount: int = 1, pool: str = "b", asset: str = "USD") -> c.Draw:
    return c.Draw(account=account, pool=pool, asset=asset, amount=amount)


def insure(
    account: str = "bob", amount: int = 1, asset: str = "USD", pool: str = "b", tier: str = "A"
) -> c.PayInsurance:
    return c.PayInsurance(account=account, tier=tier, asset=asset, amount=amount, pool=pool)


def share(
    account: str = "cat", amount: int = 1, asset: str = "BTC", pool: str = "shared",
    holders: tuple[tuple[str, str], ...] = (("dan", "shared"),),
) -> c.Socialise:  # fmt: skip
    return c.Socialise(account=account, asset=asset, amount=amount, pool=pool, holders=holders)


def earn(
    rate: str = "0.01", asset: str = "USD", source: str = "@outside",
    holders: tuple[tuple[str, str], ...] = (("ann", "shared"),),
) -> c.AccrueYield:  # fmt: skip
    return c.AccrueYield(asset=asset, rate=rate, holders=holders, source=source)


def end(
    name: str = "ETH-FUT", price: str = "2100", holders: Any = (("ann", "shared"),)
) -> c.SettleExpiry:
    return c.SettleExpiry(instrument=name, price=price, holders=holders)


def fund(name: str = "ETH-PERP", rate: str = "0.01", price: str = "2000") -> c.AdvanceFunding:
    return c.AdvanceFunding(instrument=name, rate=rate, price=price)


def seen(account: str = "mir", **more: Any) -> c.Observe:
    return c.Observe(account=account, source="x", **more)


def priced(stamped_ns: int = T0, **more: Any) -> c.AcceptPrices:
    return c.AcceptPrices(stamped_ns=stamped_ns, **{"prints": {"BTC/USD": Print(1.0)}, **more})


def rows_of(**changed: Any) -> c.AdoptScenarios:
    """Two days of four factors, with fields replaced."""
    k = len(FACTORS)
    zeros = np.zeros((2, k)).tobytes()
    fields: dict[str, Any] = {
        "factors": tuple(FACTORS), "names": ("one", "two"), "factor_moves": zeros,
        "vol_moves": zeros, "probability": np.full(2, 0.5).tobytes(), "flagged": bytes(2 * k),
        "asked": 2,
    }  # fmt: skip
    return c.AdoptScenarios(scenarios=Scenarios(**{**fields, **changed}))


def table(name: str, **cells: Any) -> tuple[dict[str, Any], ...]:
    """The instruments of the listing with cells of one replaced."""
    return tuple(
        {**row, **cells} if row["instrument"] == name else row for row in listing().instruments
    )


def wei_of(decimals: float) -> tuple[dict[str, Any], ...]:
    return tuple(
        {**row, "decimals": decimals} if row["asset"] == "WEI" else row for row in listing().assets
    )


def another(rate: float) -> bytes:
    sections = {"margin": {**rulebook_table()["margin"], "taker_fee": rate}}
    return rulebook(**sections).packed()


def rulebook_table() -> dict[str, Any]:
    from engine.small import rules_table

    return rules_table()


LATER = msgspec.structs.replace(
    rulebook(), effective_from=rulebook().effective_from.replace(year=2031)
)
NO_FIAT = rulebook(classes={"coin": rulebook_table()["classes"]["coin"]})
NO_COIN = rulebook(classes={"fiat": rulebook_table()["classes"]["fiat"]})

Row = tuple[str, str, Any, str, int | None, int | None, str]
ENVELOPE: list[Row] = [
    ("long_key", "calm", pay(key="k" * 65), "KEY_INVALID", None, None, "k" * 65),
    ("key_of_two_lines", "calm", pay(key="a\nb"), "KEY_INVALID", None, None, "a\nb"),
    ("key_not_ascii", "calm", pay(key="é"), "KEY_INVALID", None, None, "é"),
    ("expired", "calm", pay(issued_ns=T0 - 590 * SECOND - 1), "COMMAND_EXPIRED",
     T0 - 590 * SECOND - 1, T0 - 590 * SECOND, ""),
    ("ahead", "calm", pay(issued_ns=T0 + 5 * SECOND + 1), "COMMAND_FROM_FUTURE",
     T0 + 5 * SECOND + 1, T0 + 5 * SECOND, ""),
    ("empty_batch", "calm", c.Batch(commands=()), "BATCH_INVALID", 0, 256, ""),
    ("long_batch", "calm", c.Batch(commands=(pay(),) * 257), "BATCH_INVALID", 257, 256, ""),
    ("inner_key", "calm", c.Batch(commands=(pay(key="in"),)), "BATCH_INVALID", 1, 256, ""),
    ("world_inside", "calm", c.Batch(commands=(pay(), fund())),  # type: ignore[arg-type]
     "BATCH_INVALID", 2, 256, ""),
    ("batch_inside", "calm", c.Batch(commands=(c.Batch(commands=(pay(),)),)),  # type: ignore[arg-type]
     "BATCH_INVALID", 1, 256, ""),
]  # fmt: skip
WORLD: list[Row] = [
    ("deposit_unlisted", "bare", pay(), "NOT_LISTED", None, None, ""),
    ("rules_unlisted", "bare", c.AdoptRulebook(rules=rulebook().packed()), "NOT_LISTED", None, None,
     ""),
    ("open_unruled", "unruled", account("ann"), "NO_RULEBOOK", None, None, ""),
    ("prices_unruled", "unruled", prices(), "NO_RULEBOOK", None, None, ""),
    ("no_numeraire", "bare", listing(numeraire="EUR"), "MARKET_INVALID", None, None, ANY),
    ("no_such_quote", "calm", listing(instruments=table("ETH/USD", quote="EUR")),
     "MARKET_INVALID", None, None, ANY),
    ("expired_newcomer", "calm", listing(instruments=(*listing().instruments, {
        "instrument": "OLD", "kind": "future", "underlying": "ETH", "quote": "USD",
        "forward": 2_000.0, "expiry": "2025-10-01T00:00:00Z"})), "MARKET_INVALID", None, None, ANY),
    ("class_of_no_rule", "calm", listing(factors=(*listing().factors, {
        "factor": "MEME/USD", "kind": "spot", "class": "meme", "level": 1.0})),
     "MARKET_INVALID", None, None, ANY),
    ("other_decimals", "calm", listing(assets=wei_of(6.0)), "TERMS_CHANGED", None, None, "WEI"),
    ("asset_gone", "calm", listing(assets=listing().assets[:-1], instruments=()), "TERMS_CHANGED",
     None, None, "WEI"),
    ("other_strike", "calm", listing(instruments=table("ETH-PUT", strike=1_900.0)),
     "TERMS_CHANGED", None, None, "ETH-PUT"),
    ("instrument_gone", "calm", listing(instruments=listing().instruments[1:]), "TERMS_CHANGED",
     None, None, "ETH-PERP"),
    ("other_numeraire", "calm", listing(
        numeraire="USDC", assets=tuple({**row, "loads": {"USD": "USDC/USD", "USDC": ""}.get(
            row["asset"], row["loads"])} for row in listing().assets)),
     "TERMS_CHANGED", None, None, "USD"),
    ("no_rules", "calm", c.AdoptRulebook(rules=b"\x81\xa1x"), "RULEBOOK_INVALID", None, None, ANY),
    ("rules_of_nothing", "calm", c.AdoptRulebook(rules=b""), "RULEBOOK_INVALID", None, None, ANY),
    ("rules_in_euro", "calm", c.AdoptRulebook(rules=rulebook(numeraire="EUR").packed()),
     "RULEBOOK_INVALID", None, None, "numeraire EUR"),
    ("rules_without_a_class", "calm", c.AdoptRulebook(rules=NO_COIN.packed()), "RULEBOOK_INVALID",
     None, None, ANY),
    ("rules_without_fiat", "calm", c.AdoptRulebook(rules=NO_FIAT.packed()), "RULEBOOK_INVALID",
     None, None, ANY),
    ("rules_not_psd", "calm", c.AdoptRulebook(rules=rulebook(correlation={
        "default": -1.0, "same_factor": 1.0, "pairs": {}}).packed()), "RULEBOOK_INVALID",
     None, None, "correlation.pairs"),
    ("rules_to_come", "calm", c.AdoptRulebook(rules=LATER.packed()), "RULEBOOK_NOT_YET", None, None,
     "2031-01-01T00:00:00+00:00"),
    ("no_days", "calm", rows_of(names=(), factor_moves=b"", vol_moves=b"", probability=b"",
     flagged=b""), "SCENARIOS_INVALID", None, None, ANY),
    ("no_factors", "calm", rows_of(factors=(), factor_moves=b"", vol_moves=b"", flagged=b""),
     "SCENARIOS_INVALID", None, None, ANY),
    ("cut_moves", "calm", rows_of(factor_moves=bytes(63)), "SCENARIOS_INVALID", None, None, ANY),
    ("moves_of_nan", "calm", rows_of(factor_moves=np.full(8, np.nan).tobytes()),
     "SCENARIOS_INVALID", None, None, ANY),
    ("falls_below_nothing", "calm", rows_of(vol_moves=np.full(8, -1.0).tobytes()),
     "SCENARIOS_INVALID", None, None, ANY),
    ("a_rise_past_a_millionfold", "calm", rows_of(factor_moves=np.full(8, 1.1e6).tobytes()),
     "SCENARIOS_INVALID", None, None, ANY),
    ("odds_of_more_than_one", "calm", rows_of(probability=np.ones(2).tobytes()),
     "SCENARIOS_INVALID", None, None, ANY),
    ("odds_below_nothing", "calm", rows_of(probability=np.array([1.5, -0.5]).tobytes()),
     "SCENARIOS_INVALID", None, None, ANY),
]  # fmt: skip
NAMES: list[Row] = [
    *((f"name_{n}", "calm", account(text), "ACCOUNT_NAME_INVALID", None, None, text[:300])
      for n, text in enumerate(("", "@fees", "a b", "é", "a" * 129, "a\tb"))),
    ("exists", "calm", account("ann"), "ACCOUNT_EXISTS", None, None, "ann"),
    ("closed_name_is_taken", "calm", account("shut"), "ACCOUNT_EXISTS", None, None, "shut"),
    ("nobody", "calm", pay("eve"), "ACCOUNT_UNKNOWN", None, None, "eve"),
    ("system", "calm", pay("@fees"), "ACCOUNT_UNKNOWN", None, None, "@fees"),
    ("system_withdraws", "calm", take("@insurance/A"), "ACCOUNT_UNKNOWN", None, None,
     "@insurance/A"),
    ("system_trades", "calm", trade("ETH-PERP", CT, "2000", "ann", "@fees"), "ACCOUNT_UNKNOWN",
     None, None, "@fees"),
    ("system_status", "calm", c.SetStatus(account="@fees", status="frozen"), "ACCOUNT_UNKNOWN",
     None, None, "@fees"),
    ("system_observed", "mirrored", seen("@fees"), "ACCOUNT_UNKNOWN", None, None, "@fees"),
    ("system_holds", "calm", earn(holders=(("@fees", "shared"),)), "ACCOUNT_UNKNOWN", None, None,
     "@fees"),
    ("closed", "calm", pay("shut"), "ACCOUNT_CLOSED", None, None, "shut"),
    ("closed_observed", "calm", seen("shut"), "ACCOUNT_CLOSED", None, None, "shut"),
    ("closed_opens", "calm", c.SetStatus(account="shut", status="open"), "ACCOUNT_CLOSED", None,
     None, "shut"),
    ("mirror_is_paid", "calm", pay("mir"), "ACCOUNT_IS_MIRROR", None, None, "mir"),
    ("mirror_imports", "calm", holding("mir", {"USD": 1}), "ACCOUNT_IS_MIRROR", None, None, "mir"),
    ("none_is_observed", "calm", seen("ann"), "ACCOUNT_IS_MIRROR", None, None, "ann"),
    ("transfer_to_mirror", "calm", move(to_account="mir", to_pool="shared"), "ACCOUNT_IS_MIRROR",
     None, None, "mir"),
    *((f"frozen_{n}", "calm", command, "ACCOUNT_FROZEN", None, None, "fred")
      for n, command in enumerate((
          take("fred"), lend("fred"), order("fred", "x", CT), holding("fred", {"USD": 1}),
          c.OpenPool(account="fred", pool=bucket("b", 1)),
          c.Transfer(account="fred", asset="USD", amount=1, to_account="ann"),
          trade("ETH-PERP", CT, "2000", "fred"), trade("ETH-PERP", CT, "2000", "ann", "fred"),
      ))),
    ("frozen_counterparty", "failing", c.Batch(commands=(
        c.SetStatus(account="safe", status="frozen"), sell_out(counterparty="safe"))),
     "ACCOUNT_FROZEN", None, None, "safe"),
    ("close_with_money", "calm", c.SetStatus(account="ann", status="closed"), "ACCOUNT_NOT_EMPTY",
     None, None, "ann"),
    ("close_mirror_with_money", "mirrored", c.SetStatus(account="mir", status="closed"),
     "ACCOUNT_NOT_EMPTY", None, None, "mir"),
    ("import_twice", "calm", holding("ann", {"USD": 1}), "ACCOUNT_NOT_EMPTY", None, None, "ann"),
    ("open_is_open", "calm", c.SetStatus(account="ann", status="open"), "STATUS_UNCHANGED", None,
     None, "open"),
    ("no_such_status", "calm", c.SetStatus(account="ann", status="thawed"), "STATUS_UNCHANGED",
     None, None, "thawed"),
    ("mirror_stays", "calm", c.SetStatus(account="mir", status="frozen"), "STATUS_UNCHANGED", None,
     None, "frozen"),
    *((f"pool_name_{n}", "calm", c.OpenPool(account="ann", pool=PoolTerms(text, "cross_sum", 1)),
       "POOL_NAME_INVALID", None, None, text[:300])
      for n, text in enumerate(("", "@b", "a b", "b" * 129))),
    ("shared_not_first", "calm", c.OpenAccount(account="eve", pools=(
        bucket("b", 1), PoolTerms("shared", "cross_sum"))), "POOL_NAME_INVALID", None, None,
     "shared"),
    ("shared_draws", "calm", c.OpenAccount(account="eve", pools=(bucket("shared", 1),)),
     "POOL_NAME_INVALID", None, None, "shared"),
    ("pool_twice", "calm", c.OpenPool(account="ann", pool=bucket("b", 1)), "POOL_EXISTS", None,
     None, "b"),
    ("pools_alike", "calm", account("eve", bucket("x", 1), bucket("x", 2)), "POOL_EXISTS", None,
     None, "x"),
    ("no_pool", "calm", pay(pool="c"), "POOL_UNKNOWN", None, None, "ann/c"),
    ("outside_pool", "calm", trade("ETH-PERP", CT, "2000", "ann", Side("@outside", pool="b")),
     "POOL_UNKNOWN", None, None, "b"),
    ("shared_draws_nothing", "empty", draw(pool="shared"), "POOL_UNKNOWN", None, None, "shared"),
    ("pays_back_to_another", "calm", c.Batch(commands=(
        pay(pool="b"), c.Transfer(account="ann", pool="b", asset="USD", amount=1, to_account="bob",
                                  pays_back=True))), "POOL_UNKNOWN", None, None, "shared"),
    ("pays_back_from_shared", "calm", move(pays_back=True), "POOL_UNKNOWN", None, None, "b"),
    ("no_method", "calm", c.OpenPool(account="ann", pool=PoolTerms("c", "crossed", 1)),
     "METHOD_UNKNOWN", None, None, "crossed"),
    ("no_asset", "calm", pay(asset="DOGE"), "ASSET_UNKNOWN", None, None, "DOGE"),
    ("no_asset_to_lend", "calm", c.AdvanceInterest(asset="DOGE"), "ASSET_UNKNOWN", None, None,
     "DOGE"),
    ("no_asset_in_all", "calm", c.AdoptVenueTotals(totals={"DOGE": 1.0}), "ASSET_UNKNOWN", None,
     None, "DOGE"),
    ("no_asset_seen", "mirrored", seen(balances={"DOGE": 1}), "ASSET_UNKNOWN", None, None, "DOGE"),
    ("no_factor", "calm", priced(prints={"DOGE/USD": Print(1.0)}), "FACTOR_UNKNOWN", None, None,
     "DOGE/USD"),
    ("no_instrument", "calm", trade("DOGE-PERP", CT, "1", "ann"), "INSTRUMENT_UNKNOWN", None, None,
     "DOGE-PERP"),
    ("no_marked", "calm", priced(prints={}, marks={"DOGE-PERP": Mark(1.0)}), "INSTRUMENT_UNKNOWN",
     None, None, "DOGE-PERP"),
    ("no_funded", "calm", fund("DOGE-PERP"), "INSTRUMENT_UNKNOWN", None, None, "DOGE-PERP"),
    ("no_seen", "mirrored", seen(positions={"DOGE-PERP": (1, 1)}), "INSTRUMENT_UNKNOWN", None, None,
     "DOGE-PERP"),
    ("funding_of_a_future", "calm", fund("ETH-FUT"), "INSTRUMENT_KIND", None, None, "ETH-FUT"),
    ("expiry_of_a_perpetual", "calm", end("ETH-PERP"), "INSTRUMENT_KIND", None, None, "ETH-PERP"),
    ("expiry_of_spot", "calm", end("ETH/USD"), "INSTRUMENT_KIND", None, None, "ETH/USD"),
    ("deleveraged_spot", "failing", adl(instrument="ETH/USD"), "INSTRUMENT_KIND", None, None,
     "ETH/USD"),
    ("position_of_spot", "mirrored", seen(positions={"ETH/USD": (1, 1)}), "INSTRUMENT_KIND", None,
     None, "ETH/USD"),
    ("cost_of_a_premium", "mirrored", seen(positions={"ETH-CALL": (1, 1)}), "INSTRUMENT_KIND", None,
     None, "ETH-CALL"),
    ("fill_after_expiry", "expired", trade("ETH-FUT", CT, "2000", "ann"), "INSTRUMENT_EXPIRED",
     None, None, "ETH-FUT"),
    ("order_after_expiry", "expired", order("ann", "o", CT, "2000", "ETH-CALL"),
     "INSTRUMENT_EXPIRED", None, None, "ETH-CALL"),
    ("sold_out_after_expiry", "expired", sell_out("ann", instrument="ETH-FUT"),
     "INSTRUMENT_EXPIRED", None, None, "ETH-FUT"),
    ("ends_too_early", "calm", end(), "INSTRUMENT_NOT_EXPIRED", None, None, "ETH-FUT"),
    ("no_tier", "calm", c.FundInsurance(tier="Z", asset="USD", amount=1), "TIER_UNKNOWN", None,
     None, "Z"),
    ("no_tier_pays", "empty", insure(tier="Z"), "TIER_UNKNOWN", None, None, "Z"),
    ("no_tier_is_paid", "failing", sell_out(tier="Z"), "TIER_UNKNOWN", None, None, "Z"),
    ("yield_of_fees", "calm", earn(source="@fees"), "SOURCE_UNKNOWN", None, None, "@fees"),
    ("yield_of_ann", "calm", earn(source="ann"), "SOURCE_UNKNOWN", None, None, "ann"),
    *((f"order_name_{n}", "calm", order("ann", text, CT), "ORDER_NAME_INVALID", None, None,
       text[:300]) for n, text in enumerate(("", "o" * 65, "ö", "\n"))),
    ("imported_order_name", "calm", c.Batch(commands=(account("eve"), holding(
        "eve", orders={"": OrderState("ETH-PERP", CT, "1")}))), "ORDER_NAME_INVALID", None, None,
     "shared"),
    ("order_twice", "positions", order("ann", "buy", CT), "ORDER_EXISTS", None, None, "buy"),
    ("no_order", "calm", c.CancelOrder(account="ann", order="x"), "ORDER_UNKNOWN", None, None, "x"),
    ("no_orders_at_all", "calm", c.CancelOrder(account="ann"), "ORDER_UNKNOWN", None, None, ""),
    ("fills_no_order", "positions", trade("ETH-PERP", CT, "2000", Side("ann", order="x")),
     "ORDER_UNKNOWN", None, None, "x"),
    ("fills_the_other_side", "positions",
     trade("ETH-PERP", CT, "2000", "@outside", Side("ann", order="buy")), "ORDER_UNKNOWN", None,
     None, "buy"),
    ("fills_another_instrument", "positions",
     trade("ETH/USD", CT, "2000", Side("ann", order="buy")), "ORDER_UNKNOWN", None, None, "buy"),
    ("outside_has_no_orders", "positions",
     trade("ETH-PERP", CT, "2000", "ann", Side("@outside", order="x")), "ORDER_UNKNOWN", None, None,
     "x"),
    ("trades_with_itself", "calm", trade("ETH-PERP", CT, "2000", "ann", "ann"), "SAME_POOL", None,
     None, "ann"),
    ("outside_with_itself", "calm", trade("ETH-PERP", CT, "2000"), "SAME_POOL", None, None,
     "@outside"),
    ("moves_to_itself", "calm", move(to_pool="shared"), "SAME_POOL", None, None, "shared"),
    ("sold_out_to_itself", "failing", sell_out(counterparty="liq"), "SAME_POOL", None, None,
     "shared"),
    ("deleveraged_by_itself", "failing", adl(other="broke"), "SAME_POOL", None, None, "broke"),
    ("holder_twice", "calm", earn(holders=(("ann", "shared"),) * 2), "SAME_POOL", None, None,
     "holders"),
    ("pays_its_own_loss", "empty", share(holders=(("cat", "shared"),)), "SAME_POOL", None, None,
     "cat"),
    ("no_holders", "calm", c.ChargeAccruals(holders=()), "TOO_MANY", 0, 1_000, "holders"),
    ("a_thousand_and_one", "calm", c.ChargeAccruals(holders=(("ann", "shared"),) * 1_001),
     "TOO_MANY", 1_001, 1_000, "holders"),
    ("order_201", "full", order("ann", "one more", CT, "1"), "TOO_MANY", 201, 200, "orders"),
    ("pool_65", "full", c.OpenPool(account="bob", pool=bucket("more", 0)), "TOO_MANY", 65, 64,
     "pools"),
    ("pools_65_at_once", "calm", account("eve", *(bucket(f"b{n}", 0) for n in range(64))),
     "TOO_MANY", 65, 64, "pools"),
    ("orders_201_at_once", "calm", c.Batch(commands=(account("eve"), holding("eve", orders={
        f"o{n}": OrderState("ETH-PERP", CT, "1") for n in range(201)}))), "TOO_MANY", 201, 200,
     "orders"),
]  # fmt: skip
NUMBERS: list[Row] = [
    ("deposit_0", "calm", pay(amount=0), "AMOUNT_NOT_POSITIVE", 0, None, "amount"),
    ("deposit_less", "calm", pay(amount=-1), "AMOUNT_NOT_POSITIVE", -1, None, "amount"),
    ("withdraw_0", "calm", take(amount=0), "AMOUNT_NOT_POSITIVE", 0, None, "amount"),
    ("transfer_less", "calm", move(-5), "AMOUNT_NOT_POSITIVE", -5, None, "amount"),
    ("fill_0", "calm", trade("ETH-PERP", 0, "2000", "ann"), "AMOUNT_NOT_POSITIVE", 0, None,
     "contracts"),
    ("fill_less", "calm", trade("ETH-PERP", -1, "2000", "ann"), "AMOUNT_NOT_POSITIVE", -1, None,
     "contracts"),
    ("order_0", "calm", order("ann", "o", 0), "AMOUNT_NOT_POSITIVE", 0, None, "contracts"),
    ("limit_less", "calm", c.OpenPool(account="ann", pool=bucket("c", -1)), "AMOUNT_NOT_POSITIVE",
     -MONEY, None, "draw_limit"),
    ("penalty_less", "failing", sell_out(penalty=-1), "AMOUNT_NOT_POSITIVE", -1, None, "penalty"),
    ("totals_less", "calm", c.AdoptVenueTotals(totals={"BTC": -1.0}), "AMOUNT_NOT_POSITIVE", None,
     None, "BTC"),
    ("totals_of_nan", "calm", c.AdoptVenueTotals(totals={"BTC": float("nan")}),
     "AMOUNT_NOT_POSITIVE", None, None, "BTC"),
    ("deposit_too_large", "calm", pay(amount=MANY), "AMOUNT_TOO_LARGE", MANY,
     COINS * 10**2, "amount"),
    ("fill_too_large", "calm", trade("ETH-PERP", MANY, "2000", "ann"), "AMOUNT_TOO_LARGE", MANY,
     COINS * CT, "contracts"),
    ("order_too_large", "calm", order("ann", "o", -MANY), "AMOUNT_TOO_LARGE", MANY, COINS * CT,
     "contracts"),
    ("fee_too_large", "calm", trade("ETH-PERP", CT, "2000", Side("ann", fee=MANY)),
     "AMOUNT_TOO_LARGE", MANY, COINS * 10**2, "fee"),
    ("rebate_too_large", "calm", trade("ETH-PERP", CT, "2000", "ann", Side("@outside", fee=-MANY)),
     "AMOUNT_TOO_LARGE", MANY, COINS * 10**2, "fee"),
    ("limit_too_large", "calm", c.OpenPool(account="ann", pool=PoolTerms("c", "cross_sum", MANY)),
     "AMOUNT_TOO_LARGE", MANY, COINS * 10**6, "draw_limit"),
    ("totals_10_18", "calm", c.AdoptVenueTotals(totals={"BTC": 1e18}), "AMOUNT_TOO_LARGE", None,
     None, "BTC"),
    ("seen_too_large", "mirrored", seen(balances={"USD": -MANY}), "AMOUNT_TOO_LARGE", MANY,
     COINS * 10**2, "holdings"),
    ("cost_too_large", "mirrored", seen(positions={"ETH-PERP": (1, MANY)}), "AMOUNT_TOO_LARGE",
     MANY, COINS * 10**2, "holdings"),
    *((f"price_{n}", "calm", trade("ETH-PERP", CT, text, "ann"), "PRICE_INVALID", None, None, text)
      for n, text in enumerate(("0", "-1", "", "nan", "inf", "1,0", "1e15", "2000 ", "0x7d0"))),
    ("price_of_41_characters", "calm", trade("ETH-PERP", CT, "1" * 41, "ann"), "PRICE_INVALID",
     None, None, "1" * 40),
    ("limit_of_0", "calm", order("ann", "o", CT, "0"), "PRICE_INVALID", None, None, "0"),
    ("funding_at_0", "calm", fund(price="0"), "PRICE_INVALID", None, None, "0"),
    ("sold_out_at_0", "failing", sell_out(price="0"), "PRICE_INVALID", None, None, "0"),
    ("inverse_ends_at_0", "expired", end("BTC-INV-FUT", "0"), "PRICE_INVALID", None, None, "0"),
    ("ends_below_0", "expired", end(price="-1"), "PRICE_INVALID", None, None, "-1"),
    ("no_prints", "calm", priced(prints={}), "PRICE_INVALID", None, None, "no prints"),
    *((f"print_{n}", "calm", priced(prints={"BTC/USD": told}), "PRICE_INVALID", None, None,
       "BTC/USD") for n, told in enumerate((
           Print(0.0), Print(9.9e-19), Print(-1.0), Print(float("nan")), Print(float("inf")),
           Print(1e15),
           Print(1.0, half_width=-0.1), Print(1.0, half_width=1.1),
           Print(1.0, half_width=float("nan")), Print(1.0, stable_price=10.0),
           Print(1.0, stable_price=0.1), Print(1.0, stable_price=float("nan")),
           Print(1.0, status="good")))),
    *((f"mark_{n}", "calm", priced(marks={"ETH-PERP": told}), "PRICE_INVALID", None, None,
       "ETH-PERP") for n, told in enumerate((
           Mark(0.0), Mark(9.9e-19), Mark(float("nan")), Mark(1e15), Mark(1.0, iv=0.0),
           Mark(1.0, iv=10.1),
           Mark(1.0, iv=float("nan")), Mark(1.0, rate=1.1), Mark(1.0, rate=float("nan")),
           Mark(1.0, status="good"), Mark(1.0, averaged_share=0.5),
           Mark(1.0, averaged_share=1.1, averaged=1.0), Mark(1.0, averaged_share=0.5, averaged=0.0),
           Mark(1.0, averaged_share=float("nan"), averaged=1.0),
           Mark(1.0, funding_rate=-1.1), Mark(1.0, funding_rate=float("nan"))))),
    *((f"funding_rate_{n}", "calm", fund(rate=text), "RATE_INVALID", None, None, text)
      for n, text in enumerate(("1.0000001", "-1.0000001", "", "nan", "1%"))),
    *((f"yield_{n}", "calm", earn(rate=text), "RATE_INVALID", None, None, text)
      for n, text in enumerate(("10.0001", "-0.0001", "inf"))),
    ("print_of_old", "calm", priced(T0 - 60 * SECOND - 1), "PRICE_STALE", T0 - 60 * SECOND - 1,
     T0 - 60 * SECOND, ""),
    ("print_of_tomorrow", "calm", priced(T0 + 1), "PRICE_FROM_FUTURE", T0 + 1, T0, ""),
    ("print_before_the_last", "printed", priced(T0 + 30 * SECOND - 1), "PRICE_OUT_OF_ORDER",
     T0 + 30 * SECOND - 1, T0 + 30 * SECOND, ""),
    ("mark_before_the_last", "printed",
     priced(T0 + 30 * SECOND - 1, prints={}, marks={"ETH-PERP": Mark(1.0)}), "PRICE_OUT_OF_ORDER",
     T0 + 30 * SECOND - 1, T0 + 30 * SECOND, ""),
    ("ends_at_another_price", "expired", end(price="2100.01"), "PRICE_DIFFERS", None, None, "2100"),
]  # fmt: skip
STATE: list[Row] = [
    ("no_accruals", "positions", c.ChargeAccruals(holders=(("ann", "shared"),)), "NOTHING_DUE",
     None, None, "accruals"),
    ("no_time_passed", "lending", c.AdvanceInterest(asset="USD"), "NOTHING_DUE", None, None, "USD"),
    ("no_yield_on_nothing", "calm", earn(holders=(("bob", "shared"),)), "NOTHING_DUE", None, None,
     "USD"),
    ("no_yield_on_debt", "lending", earn(holders=(("cat", "shared"),)), "NOTHING_DUE", None, None,
     "USD"),
    ("no_yield_of_0", "calm", earn("0"), "NOTHING_DUE", None, None, "USD"),
    # 100,000 x 0.0000099 = 0.99
    ("no_yield_of_less", "calm", earn("0.0000099"), "NOTHING_DUE", None, None, "USD"),
    ("nothing_ends", "expired", end(holders=(("cat", "shared"),)), "NOTHING_DUE", None, None,
     "ETH-FUT"),
    ("ends_twice", "expired", end(holders=(("bob", "shared"),)), "NOTHING_DUE", None, None,
     "ETH-FUT"),
    ("no_draws_to_keep", "calm", c.ReserveDraws(account="ann"), "NOTHING_DUE", None, None, "ann"),
    ("seen_again", "mirrored", seen(balances={"USD": 500}, positions={"ETH-PERP": (CT, -200_000)}),
     "NOTHING_DUE", None, None, "mir"),
    ("repays_nothing", "calm", c.Repay(account="ann", asset="USD", amount=1), "NOTHING_OWED", 1, 0,
     "USD"),
    ("insures_no_debt", "empty", insure("ann", pool="shared"), "NOTHING_OWED", 1, 0, "USD"),
    ("shares_no_debt", "empty", share(asset="ETH"), "NOTHING_OWED", 1, 0, "ETH"),
    ("repays_too_much", "lending", c.Repay(account="cat", asset="USD", amount=90_001),
     "REPAY_EXCEEDS_DEBT", 90_001, 90_000, "USD"),
    ("insures_too_much", "empty", insure(amount=5_201), "REPAY_EXCEEDS_DEBT", 5_201, 5_200, "USD"),
    ("fills_too_much", "positions", trade("ETH-PERP", 3 * CT + 1, "2000", Side("ann", order="buy")),
     "ORDER_OVERFILLED", 3 * CT + 1, 3 * CT, "buy"),
    ("orders_first", "failing", sell_out("rick"), "ORDERS_OPEN", 1, 0, "shared"),
    ("exit_too_far", "positions",
     trade("ETH-PERP", 2 * CT + 1, "2000", "@outside", Side("ann", order="exit")), "NOT_REDUCING",
     None, None, "exit"),
    ("exit_adds", "positions",
     trade("ETH-PERP", CT, "2000", "@outside", Side("bob", order="more")), "NOT_REDUCING", None,
     None, "more"),
    ("sold_out_too_far", "failing", sell_out(contracts=10 * CT + 1), "NOT_REDUCING", None, None,
     "ETH-PERP"),
    ("sold_out_the_other_way", "failing", sell_out(buys=True), "NOT_REDUCING", None, None,
     "ETH-PERP"),
    ("sold_out_of_nothing", "failing", sell_out(instrument="BTC-PERP"), "NOT_REDUCING", None, None,
     "BTC-PERP"),
    ("sells_no_coin", "failing", sell_out(instrument="ETH/USD"), "NOT_REDUCING", ETH, 0, "ETH"),
    ("buys_no_debt", "failing", sell_out("spot", instrument="ETH/USD", buys=True), "NOT_REDUCING",
     ETH, 0, "ETH"),
    ("deleverages_too_far", "failing", adl(contracts=4 * CT + 1), "NOT_REDUCING", None, None,
     "safe/shared"),
    ("deleverages_the_wrong_way", "failing", adl(bankrupt_buys=True), "NOT_REDUCING", None, None,
     "broke/shared"),
    ("draws_with_money", "calm", c.Batch(commands=(pay(pool="b"), draw())), "POOL_NOT_EMPTY", None,
     None, "ann/b"),
    ("insures_with_coins", "failing", insure("spot", pool="shared"), "POOL_NOT_EMPTY", None, None,
     "spot/shared"),
    # t = min(52, 40, 100) dollars
    ("insures_before_the_draw", "empty", insure("ann"), "DRAW_FIRST", None, 40 * MONEY, "b"),
    ("shares_before_the_draw", "empty", share("ann", asset="USD", pool="b"), "DRAW_FIRST", None,
     40 * MONEY, "b"),
    ("shares_before_insurance", "empty", share("bob", asset="USD", pool="b"), "INSURANCE_FIRST", 1,
     1_000, "A"),
    ("fund_of_10", "empty", insure(amount=1_001), "FUND_SHORT", 1_001, 1_000, "A"),
    ("fund_of_nothing", "empty", insure(tier="B"), "FUND_SHORT", 1, 0, "B"),
    ("shares_of_20", "empty", share(amount=20 * BTC + 1), "SHARES_SHORT", 20 * BTC + 1, 20 * BTC,
     "BTC"),
]  # fmt: skip
AFTERWARDS: list[Row] = [
    ("withdraws_too_much", "calm", take(amount=100_001), "BALANCE_SHORT", 100_001, 100_000,
     "ann/shared/USD"),
    ("withdraws_nothing_there", "calm", take(asset="BTC"), "BALANCE_SHORT", 1, 0, "ann/shared/BTC"),
    ("withdraws_a_debt", "lending", take("cat"), "BALANCE_SHORT", 1, 0, "cat/shared/USD"),
    ("transfers_too_much", "calm", move(100_001), "BALANCE_SHORT", 100_001, 100_000,
     "ann/shared/USD"),
    ("sells_more_coins", "failing", sell_out("spot", ETH + 1, instrument="ETH/USD"),
     "BALANCE_SHORT", ETH + 1, ETH, "spot/shared/ETH"),
    # 1,000 supplied, 900 owed
    ("withdraws_what_is_lent", "lending", take(amount=10_001), "CASH_SHORT", 10_001, 10_000, "USD"),
    ("borrows_what_is_lent", "lending", lend(amount=10_001), "CASH_SHORT", 10_001, 10_000, "USD"),
    # 100 and 100 ETH are there, and nobody owes one
    ("sells_outside_more_than_there_is", "lending", trade("ETH/USD", 260 * CT, "1", "@outside",
     "dan"), "CASH_SHORT", 260 * ETH, 200 * ETH, "ETH"),
    ("buys_outside_with_what_is_lent", "lending", trade("ETH/USD", CT, "100.01", "ann"),
     "CASH_SHORT", 10_001, 10_000, "USD"),
    ("pays_a_premium_with_what_is_lent", "lending", trade("ETH-CALL", CT, "11000.000001", "ann"),
     "CASH_SHORT", 11_000 * USDC + 1, 11_000 * USDC, "USDC"),
    ("borrows_what_nobody_has", "lending", lend(asset="WEI"), "CASH_SHORT", 1, 0, "WEI"),
    ("borrows_what_is_not_lent", "lending", lend(asset="BTC"), "BORROW_NOT_OFFERED", 1, None,
     "BTC"),
    # sells half a BTC it does not have
    ("sells_what_is_not_lent", "lending", trade("BTC/USDC", CT, "50000", "@outside", "dan"),
     "BORROW_NOT_OFFERED", BTC // 2, None, "BTC"),
    # a cap of 10,000, of which 9,000 are owed
    ("borrows_past_the_cap", "lending", lend(asset="USDC", amount=1_000 * USDC + 1), "BORROW_CAP",
     1_000 * USDC + 1, 1_000 * USDC, "USDC"),
    # 950 of 1,000 dollars may be owed
    ("borrows_past_95_percent", "lending", lend(amount=5_001), "UTILISATION", 5_001, None, "USD"),
    ("sells_past_80_percent", "lending", trade("ETH/USD", 260 * CT, "1", "cat", "dan"),
     "BORROW_CAP", 160 * ETH, 100 * ETH, "ETH"),
]  # fmt: skip
MARGIN: list[Row] = [
    ("never_priced", "unpriced", take(), "POOL_UNPRICED", None, None, "ann/shared"),
    ("trades_at_old_prices", "old", trade("ETH-PERP", CT, "2000", "ann"), "POOL_UNPRICED", None,
     None, "ann/shared"),
    ("draws_never_priced", "unpriced", c.Batch(commands=(pay("ann", pool="b"), c.Transfer(
        account="ann", pool="b", asset="USD", amount=1, pays_back=True))), "POOL_UNPRICED", None,
     None, "USD"),
    ("reserves_never_priced", "unpriced", c.ReserveDraws(account="ann"), "POOL_UNPRICED", None,
     None, "ann"),
    ("sells_out_the_healthy", "failing", sell_out("safe", buys=True), "NOT_LIQUIDATABLE", None,
     None, "HEALTHY"),
    ("deleverages_the_solvent", "failing", adl("liq"), "NOT_BANKRUPT", None, None, "liq"),
    ("draws_past_its_limit", "empty", draw(amount=4_001), "DRAW_TOO_LARGE", 40_010_000, 40 * MONEY,
     "b"),
    # its shared pool's equity is 5
    ("draws_more_than_there_is", "empty", draw("eve", 501), "DRAW_TOO_LARGE", 5_010_000, 5 * MONEY,
     "b"),
    # at 1,800 a contract loses 200 and frees 200
    ("sells_out_for_nothing", "failing", sell_out(price="1800"), "NOT_RAISING", None, None,
     "ETH-PERP"),
    ("penalty_takes_all", "failing", sell_out(penalty=200 * USD), "NOT_RAISING", None, None,
     "ETH-PERP"),
    # 5 x 2,000 x 0.125 = 1,250 of 1,000
    ("buys_too_much", "calm", trade("ETH-PERP", 5 * CT, "2000", "ann"), "MARGIN_SHORT",
     1_250 * MONEY, 1_000 * MONEY, "ann/shared"),
    ("sells_too_much", "calm", trade("ETH-PERP", 5 * CT, "2000", "@outside", "ann"),
     "MARGIN_SHORT", 1_250 * MONEY, 1_000 * MONEY, "ann/shared"),
    ("orders_too_much", "calm", order("ann", "o", 5 * CT), "MARGIN_SHORT", 1_250 * MONEY,
     1_000 * MONEY, "ann/shared"),
    # 10,000 - 0.125 x (2 + 3 ordered) x 2,000 = 8,750 is free
    ("withdraws_margin", "positions", take(amount=900_000), "MARGIN_SHORT", 9_000 * MONEY,
     8_750 * MONEY, "ann/shared"),
    # 95 ETH count 95 x 2,000 x 0.875 = 166,250
    ("transfers_margin", "lending", c.Transfer(account="cat", asset="ETH", amount=95 * ETH,
     to_account="dan"), "MARGIN_SHORT", 166_250 * MONEY, ANY, "cat/shared"),  # type: ignore[list-item]
]  # fmt: skip
ROWS = [*ENVELOPE, *WORLD, *NAMES, *NUMBERS, *STATE, *AFTERWARDS, *MARGIN]


@pytest.mark.parametrize(
    ("arranged", "command", "reason", "asked", "free", "where"), [row[1:] for row in ROWS],
    ids=[row[0] for row in ROWS],
)  # fmt: skip
def test_a_command_is_refused_for_its_reason_with_its_facts(
    arranged: str, command: Any, reason: str, asked: int | None, free: Any, where: str
) -> None:
    found = ARRANGED[arranged]().refused(command)
    assert found.reason == Rejection[reason]
    assert found.asked == asked
    assert free == ANY or found.free == free
    assert where == ANY or found.where == where
    assert len(found.where) <= 300


def test_a_refusal_repeats_no_more_of_a_name_than_any_name_has() -> None:
    found = ARRANGED["calm"]().refused(c.Deposit(account="x" * 10_000, asset="USD", amount=1))
    assert (found.reason, found.where) == (Rejection.ACCOUNT_UNKNOWN, "x" * 300)


def test_every_reason_has_a_row() -> None:
    assert set(Rejection) - {Rejection[row[3]] for row in ROWS} == {Rejection.KEY_REUSED}


def test_a_key_is_not_used_for_two_commands() -> None:
    made = ARRANGED["calm"]()
    made.do(pay(key="once", issued_ns=T0))
    found = made.refused(pay(key="once", issued_ns=T0, amount=2))
    assert (found.reason, found.where) == (Rejection.KEY_REUSED, "once")


def test_a_command_without_a_key_is_refused() -> None:
    made = ARRANGED["calm"]()
    [found] = made.engine.submit([pay(issued_ns=T0)])
    assert found == Rejected(Rejection.KEY_INVALID)


def test_rules_without_the_numeraire_s_class_are_refused() -> None:
    # No factor of this market is of class fiat; the numeraire, which has no factor, is.
    made = ARRANGED["bare"]()
    rows = listing()
    made.do(listing(factors=rows.factors[1:], assets=(*rows.assets[:1], *rows.assets[2:]),
                    instruments=rows.instruments[:1]))  # fmt: skip
    found = made.refused(c.AdoptRulebook(rules=NO_FIAT.packed()))
    assert found.reason == Rejection.RULEBOOK_INVALID
    assert "fiat" in found.where


# --- which comes first ----------------------------------------------------------------------------

USED = pay(key="k1", amount=7)  # k1 made the listing
FIRST: list[tuple[str, str, Any, str]] = [
    ("reused_before_expired", "calm", pay(key="k1", issued_ns=1), "KEY_REUSED"),
    ("key_before_stamp", "calm", pay(key="\n", issued_ns=1), "KEY_INVALID"),
    ("expired_before_batch", "calm", c.Batch(commands=(), issued_ns=1), "COMMAND_EXPIRED"),
    ("ahead_before_names", "calm", pay("eve", issued_ns=2 * T0), "COMMAND_FROM_FUTURE"),
    ("batch_before_listing", "bare", c.Batch(commands=()), "BATCH_INVALID"),
    ("listing_before_rules", "bare", pay("eve"), "NOT_LISTED"),
    ("rules_before_names", "unruled", pay("eve"), "NO_RULEBOOK"),
    ("market_before_terms", "calm", listing(numeraire="EUR", instruments=()), "MARKET_INVALID"),
    ("invalid_before_not_yet", "calm", c.AdoptRulebook(rules=msgspec.structs.replace(
        LATER, numeraire="EUR").packed()), "RULEBOOK_INVALID"),
    # names: account, its status, pool, asset or instrument
    ("account_before_pool", "calm", pay("eve", pool="x"), "ACCOUNT_UNKNOWN"),
    ("status_before_pool", "calm", take("fred", pool="x"), "ACCOUNT_FROZEN"),
    ("pool_before_asset", "calm", pay(pool="x", asset="DOGE"), "POOL_UNKNOWN"),
    ("asset_before_amount", "calm", pay(asset="DOGE", amount=0), "ASSET_UNKNOWN"),
    ("source_before_target", "calm", move(to_account="mir", pool="x"), "POOL_UNKNOWN"),
    ("target_before_asset", "calm", move(to_account="mir", to_pool="shared", asset="DOGE"),
     "ACCOUNT_IS_MIRROR"),
    ("same_pool_before_amount", "calm", move(0, to_pool="shared"), "SAME_POOL"),
    ("pool_name_before_exists", "calm", account("eve", bucket("a b", 1), bucket("c", 1),
                                                bucket("c", 1)), "POOL_NAME_INVALID"),
    ("pool_exists_before_method", "calm", c.OpenPool(account="ann", pool=PoolTerms("b", "x", 1)),
     "POOL_EXISTS"),
    ("method_before_many", "full", c.OpenPool(account="bob", pool=PoolTerms("c", "x", -1)),
     "METHOD_UNKNOWN"),
    ("many_before_limit", "full", c.OpenPool(account="bob", pool=bucket("c", -1)), "TOO_MANY"),
    ("instrument_before_buyer", "calm", trade("DOGE-PERP", CT, "1", "eve"), "INSTRUMENT_UNKNOWN"),
    ("expired_before_buyer", "expired", trade("ETH-FUT", CT, "1", "eve"), "INSTRUMENT_EXPIRED"),
    ("buyer_whole_before_seller", "positions",
     trade("ETH-PERP", CT, "1", Side("ann", order="x"), "eve"), "ORDER_UNKNOWN"),
    ("buyer_s_pool_before_seller", "calm",
     trade("ETH-PERP", CT, "1", Side("ann", pool="x"), "eve"), "POOL_UNKNOWN"),
    ("seller_before_same_pool", "calm", trade("ETH-PERP", CT, "1", "fred", "fred"),
     "ACCOUNT_FROZEN"),
    ("order_s_instrument_before_its_name", "calm", order("ann", "", CT, "1", "DOGE-PERP"),
     "INSTRUMENT_UNKNOWN"),
    ("order_exists_before_amount", "positions", order("ann", "buy", 0), "ORDER_EXISTS"),
    ("many_orders_before_amount", "full", order("ann", "new", 0), "TOO_MANY"),
    ("tier_before_counterparty", "failing", sell_out(tier="Z", counterparty="eve"), "TIER_UNKNOWN"),
    ("factor_before_instrument", "calm", priced(
        prints={"X": Print(0.0)}, marks={"Y": Mark(0.0)}), "FACTOR_UNKNOWN"),
    ("order_names_before_numbers_of_an_import", "calm", c.Batch(commands=(account("eve"), holding(
        "eve", {"USD": MANY}, orders={"o": OrderState("DOGE-PERP", CT, "1")}))),
     "INSTRUMENT_UNKNOWN"),
    ("not_empty_before_asset", "calm", holding("ann", {"DOGE": 1}), "ACCOUNT_NOT_EMPTY"),
    # numbers
    ("contracts_before_price", "calm", trade("ETH-PERP", 0, "x", "ann"), "AMOUNT_NOT_POSITIVE"),
    ("fee_before_price", "calm", trade("ETH-PERP", CT, "x", Side("ann", fee=MANY)),
     "AMOUNT_TOO_LARGE"),
    ("price_before_rate", "calm", fund(price="0", rate="2"), "PRICE_INVALID"),
    ("numbers_before_stamps", "calm", priced(1, prints={"BTC/USD": Print(0.0)}), "PRICE_INVALID"),
    ("stale_before_order", "printed", priced(T0 - 60 * SECOND), "PRICE_STALE"),
    ("price_before_order_state", "positions",
     trade("ETH-PERP", 4 * CT, "0", Side("ann", order="buy")), "PRICE_INVALID"),
    ("price_before_not_expired", "expired", end("BTC-INV-FUT", "x"), "PRICE_INVALID"),
    # the state
    ("differs_before_nothing_due", "expired", end(price="1", holders=(("cat", "shared"),)),
     "PRICE_DIFFERS"),
    ("overfilled_before_not_reducing", "positions",
     trade("ETH-PERP", 6 * CT, "2000", "@outside", Side("ann", order="exit")), "ORDER_OVERFILLED"),
    ("overfilled_before_orders_open", "failing", c.Batch(commands=(
        order("safe", "buy", CT),
        sell_out("rick", 2 * CT, counterparty=Side("safe", order="buy")))),
     "ORDER_OVERFILLED"),
    ("orders_open_before_not_reducing", "failing", sell_out("rick", buys=True), "ORDERS_OPEN"),
    ("orders_open_before_healthy", "positions", sell_out("ann"), "ORDERS_OPEN"),
    ("owed_before_empty", "failing", insure("spot", asset="ETH", pool="shared"), "NOTHING_OWED"),
    ("exceeds_before_empty", "failing", insure("spot", 185_001, pool="shared"),
     "REPAY_EXCEEDS_DEBT"),
    ("empty_before_fund", "failing", insure("spot", 185_000, pool="shared"), "POOL_NOT_EMPTY"),
    ("draw_before_fund", "empty", insure("ann", 5_200), "DRAW_FIRST"),
    ("draw_before_insurance", "empty", share("ann", 5_200, "USD", "b"), "DRAW_FIRST"),
    ("insurance_before_shares", "empty", share("bob", 5_200, "USD", "b", (("cat", "shared"),)),
     "INSURANCE_FIRST"),
    ("empty_before_draw_size", "calm", c.Batch(commands=(pay(pool="b"), draw(amount=10**9))),
     "POOL_NOT_EMPTY"),
    # the state afterwards, then the margin
    ("balance_before_cash", "lending", take(amount=100_001), "BALANCE_SHORT"),
    ("balance_before_margin", "positions", take(amount=10**9), "BALANCE_SHORT"),
    ("balance_before_unpriced", "unpriced", take(amount=10**9), "BALANCE_SHORT"),
    ("balance_before_pays_back", "unpriced", c.Transfer(
        account="ann", pool="b", asset="USD", amount=1, pays_back=True), "BALANCE_SHORT"),
    ("balance_before_draw_size", "empty", draw(amount=10_001), "BALANCE_SHORT"),
    ("cash_before_not_offered", "calm", lend("bob", asset="WEI"), "CASH_SHORT"),
    ("cash_before_cap", "lending", lend(asset="USDC", amount=11_001 * USDC), "CASH_SHORT"),
    # debt 10,001 of 10,050: past the cap and past 90 %
    ("cap_before_utilisation", "lending", c.Batch(commands=(
        take(asset="USDC", amount=9_950 * USDC), lend(asset="USDC", amount=1_001 * USDC))),
     "BORROW_CAP"),
    ("loan_before_margin", "lending", trade("BTC/USDC", 100 * CT, "50000", "cat", "dan"),
     "BORROW_NOT_OFFERED"),
    ("loan_before_not_liquidatable", "failing", sell_out(
        "safe", 2 * CT, buys=True, counterparty="spot", penalty=1), "NOT_LIQUIDATABLE"),
    ("not_liquidatable_before_not_raising", "failing", sell_out("safe", buys=True, price="9999"),
     "NOT_LIQUIDATABLE"),
    ("not_liquidatable_before_margin", "failing", sell_out(
        "safe", 4 * CT, buys=True, counterparty="spot"), "NOT_LIQUIDATABLE"),
    ("not_raising_before_margin", "failing", sell_out(
        contracts=9 * CT, price="1700", counterparty="spot"), "NOT_RAISING"),
    ("not_reducing_before_bankrupt", "failing", adl("liq", contracts=5 * CT), "NOT_REDUCING"),
    # the buyer is short, the seller cannot be priced
    ("unpriced_before_short", "half_old", trade("ETH-PERP", 5 * CT, "2000", "ann", "bob"),
     "POOL_UNPRICED"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("arranged", "command", "reason"), [row[1:] for row in FIRST], ids=[row[0] for row in FIRST]
)
def test_of_two_faults_the_earlier_is_named(arranged: str, command: Any, reason: str) -> None:
    assert ARRANGED[arranged]().refused(command).reason == Rejection[reason]


# --- at the boundary, and not past it -------------------------------------------------------------

ALLOWED: list[tuple[str, str, Any]] = [
    ("all_the_cash", "lending", take(amount=10_000)),  # 1,000 supplied - 100 = 900 owed
    ("up_to_the_cap", "lending", lend(asset="USDC", amount=1_000 * USDC)),  # 9,000 of 10,000
    ("up_to_95_percent", "lending", lend(amount=5_000)),  # 950 of 1,000
    ("all_of_a_balance", "calm", take(amount=100_000)),
    ("a_debt_whole", "lending", c.Repay(account="cat", asset="USD", amount=90_000)),
    ("an_order_whole", "positions", trade("ETH-PERP", 3 * CT, "2000", Side("ann", order="buy"))),
    ("an_exit_to_zero", "positions",
     trade("ETH-PERP", 2 * CT, "2000", "@outside", Side("ann", order="exit"))),
    ("a_position_sold_out_whole", "failing", sell_out(contracts=10 * CT)),
    ("coins_sold_out_whole", "failing", sell_out("spot", CT, instrument="ETH/USD")),
    ("a_draw_of_its_limit", "empty", draw(amount=4_000)),
    ("insurance_of_all_there_is", "empty", insure(amount=1_000)),
    ("shares_of_all_there_is", "empty", share(amount=20 * BTC)),
    ("the_last_pool", "calm", account("eve", *(bucket(f"b{n}", 0) for n in range(63)))),
    ("the_oldest_stamp", "calm", pay(issued_ns=T0 - 590 * SECOND)),
    ("the_oldest_print", "calm", priced(T0)),
    ("prints_of_one_moment", "printed", priced(T0 + 30 * SECOND)),
    ("the_longest_key", "calm", pay(key="k" * 64)),
    ("a_key_of_blanks", "calm", pay(key=" ")),
    ("the_longest_name", "calm", account("a" * 128)),
    ("the_longest_batch", "calm", c.Batch(commands=(pay(),) * 256)),
    ("a_settlement_at_0", "expired", end("ETH-CALL", "0")),
    ("the_largest_rates", "calm", fund(rate="-1", price="999999999999999")),
    ("the_least_price", "calm", trade("ETH-PERP", CT, "1e-18", "ann")),
]  # fmt: skip


@pytest.mark.parametrize(
    ("arranged", "command"), [row[1:] for row in ALLOWED], ids=[row[0] for row in ALLOWED]
)
def test_a_boundary_belongs_to_who_asks(arranged: str, command: Any) -> None:
    ARRANGED[arranged]().do(command)
