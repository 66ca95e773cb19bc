"""Listed instruments of a generated world: option surfaces, curves, perpetuals, funding.

In     a numpy Generator, the stamp, levels of factors, daily volatilities of the history's end.
Out    the instruments table of `MarketTables`: one row per instrument.
Owns   the surface (SSVI in square-root-of-variance units), the term structure, the carry curve.
Never  prices an option: that is the kernels' work; reads a file or a clock.
Signs  variances, strikes, forwards > 0; carry and funding signed (+ longs pay).
Spec   docs/generator.md, docs/spec/02-valuation.md
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from crossmargin.base.arrays import F64
from crossmargin.frames.market import YEAR_NS


class Smile(NamedTuple):
    """One underlying's surface. k = ln(K/F), theta(T) at-the-money total variance,
    w(k, T) = theta/2 (1 + rho x + sqrt((x + rho)^2 + 1 - rho^2)), x = eta k / sqrt(theta).

    Free of butterfly arbitrage while eta^2 (1 + |rho|) <= 4 and eta sqrt(theta) (1 + |rho|) <= 4
    (Gatheral and Jacquier 2014, theorem 4.2), of calendar arbitrage while theta rises (4.1).
    """

    rho: float
    eta: float
    long_vol: float  # where at-the-money volatility reverts to


# Median smile of the Deribit chains of 2025-12-30 to 2026-02-28, vol(z) / vol(0) at z = -2, -1, 1,
# 2: BTC 1.36 1.15 0.98 1.09; ETH 1.33 1.13 0.99 1.10. rho eta is the slope of the squared ratio at
# z = 0, eta^2 (1 - rho^2) / 2 its curvature from z = -1, 0, 1. long_vol: the 6 to 12 month level.
SMILES = {"BTC": Smile(-0.235, 0.76, 0.48), "ETH": Smile(-0.19, 0.73, 0.64)}
# log(DVOL) = a + b log(EWMA volatility a year), 1,102 days of BTC, 2022-11-06 to 2025-11-12.
IV_LEVEL, IV_SLOPE = -0.051, 0.784
IV_MIN_SHARE = 0.6  # of long_vol: Deribit's 30-day volatility never fell below that
REVERSION = 6.0  # a year: a storm's excess variance halves in six weeks (7/30/90-day levels)

# Forward over index a year on the same chains: 2 % within a week, 4 to 5 % at a year.
CARRY_SHORT, CARRY_LONG, CARRY_YEARS = 0.020, 0.048, 0.25
# Binance, 8 h, 2022 to 2025: mean 0.66 and 0.62 bp, deviation 0.87 and 1.20 bp (BTC, ETH).
FUNDING_MEAN, FUNDING_SPREAD = 0.6e-4, 1.1e-4
FUNDING_CAP, FUNDING_CAP_ALT = 0.003, 0.02  # 0.3 % and 2 % an interval, as Binance lists them
PREMIUM_SPREAD = 0.0003  # perpetual against index; the catalogue puts its median at 5 bp
PERP_ADV = 8.0  # perpetual volume over spot volume, last 180 days: BTC 8.1, ETH 9.2, SOL 6.6
STRIKES_SIDE = 10  # strikes either side of the money
STRIKE_REACH = 2.4  # in standard deviations to expiry
PERP_COINS = ("BTC", "ETH", "SOL", "XRP", "LINK", "DOGE", "AVAX", "NEAR", "UNI", "AAVE")
Row = dict[str, Any]
EMPTY: Row = {
    "style": None, "contract_size": 1.0, "expiry": None, "strike": None, "quanto_rate": None,
    "iv": None, "rate": None, "status": "live", "averaged": None, "averaged_share": None,
    "funding_rate": None, "funding_cap": None,
}  # fmt: skip
ORDER = (
    "instrument", "kind", "payoff", "underlying", "quote", "settle", "contract_size", "style",
    "expiry", "strike", "quanto_rate", "forward", "iv", "rate", "status", "averaged",
    "averaged_share", "funding_rate", "funding_cap", "adv", "half_spread",
)  # fmt: skip


class Quotes(NamedTuple):
    """What the listing is built from.

    levels, sigmas  factor -> level (USD or ratio), volatility a day; adv  coin -> USD a day, spot
    """

    at_ns: int
    levels: dict[str, float]
    sigmas: dict[str, float]
    adv: dict[str, float]

    def price(self, coin: str) -> float:
        return self.levels[f"{coin}/USD"]


def instrument_table(generator: np.random.Generator, quotes: Quotes) -> pl.DataFrame:
    """Return spot pairs, perpetuals, dated futures and options."""
    rows = [_spot(coin, quotes) for coin in ("BTC", "ETH", "SOL")]
    rows += [_perpetual(generator, coin, quotes) for coin in PERP_COINS]
    rows += [_inverse_perpetual(generator, coin, quotes) for coin in ("BTC", "ETH")]
    rows.append(_quanto_perpetual(generator, quotes))
    dates = expiries(quotes.at_ns)
    shift = generator.normal(0.0, 0.006)
    for coin in ("BTC", "ETH"):
        for expiry_ns in dates[-4:]:
            rows += _futures(coin, quotes, expiry_ns, shift)
        rows += _options(coin, quotes, dates, shift)
    numbers = ("strike", "quanto_rate", "forward", "iv", "rate", "averaged", "averaged_share",
               "funding_rate", "funding_cap")  # fmt: skip
    types: dict[str, pl.DataType] = {"style": pl.String(), "expiry": pl.Int64()}
    table = pl.DataFrame(
        {name: [row[name] for row in rows] for name in ORDER},
        schema_overrides=types | dict.fromkeys(numbers, pl.Float64()),
    )
    return table.with_columns((pl.col("expiry") // 1_000).cast(pl.Datetime("us", "UTC")))


def total_variance(theta: float, log_moneyness: F64, smile: Smile) -> F64:
    """Total implied variance at ln(K/F), given the at-the-money one; see `Smile`."""
    x = smile.eta * log_moneyness / np.sqrt(theta)
    root = np.sqrt((x + smile.rho) ** 2 + 1.0 - smile.rho**2)
    out: F64 = 0.5 * theta * (1.0 + smile.rho * x + root)
    return out


def atm_variance(years: F64, sigma_daily: float, smile: Smile) -> F64:
    """At-the-money total variance of each expiry: the 30-day level follows realised volatility.

    theta(T) = T (long^2 + (short^2 - long^2) (1 - exp(-c T)) / (c T)) rises in T whatever `short`.
    """
    realised = sigma_daily * np.sqrt(365.0)
    iv_30d = max(np.exp(IV_LEVEL + IV_SLOPE * np.log(realised)), IV_MIN_SHARE * smile.long_vol)

    def fade(t: F64) -> F64:
        out: F64 = -np.expm1(-REVERSION * t) / (REVERSION * t)
        return out

    month = float(fade(np.array(30.0 / 365.0)))
    long_var = smile.long_vol**2
    short_var = max(long_var + (iv_30d**2 - long_var) / month, 0.25 * long_var)
    theta: F64 = years * (long_var + (short_var - long_var) * fade(years))
    return theta


def carry(years: float, shift: float) -> float:
    """Forward over index, log a year."""
    curve = CARRY_LONG - CARRY_SHORT
    return CARRY_SHORT + shift - curve * float(np.expm1(-years / CARRY_YEARS))


def expiries(at_ns: int) -> tuple[int, ...]:
    """Eight stamps, 08:00 UTC: the next day but none within 4 h, two Fridays, two month ends,
    three quarter ends."""
    now = datetime.fromtimestamp(at_ns // 1_000_000_000, UTC)
    day = (now + timedelta(hours=4)).replace(hour=8, minute=0, second=0, microsecond=0)
    if day < now + timedelta(hours=4):
        day += timedelta(days=1)
    friday = day + timedelta(days=1 + (3 - day.weekday()) % 7)
    found = [day, friday, friday + timedelta(days=7)]
    year, month = now.year, now.month
    month_ends: list[datetime] = []
    while len(month_ends) < 16:
        month_ends.append(_last_friday(year, month))
        year, month = year + month // 12, month % 12 + 1
    later = [d for d in month_ends if d > found[-1]]
    quarters = [d for d in later[2:] if d.month % 3 == 0]
    found += later[:2] + quarters[:3]
    return tuple(int(d.timestamp()) * 1_000_000_000 for d in found)


def _last_friday(year: int, month: int) -> datetime:
    after = datetime(year + month // 12, month % 12 + 1, 1, 8, tzinfo=UTC)
    last = after - timedelta(days=1)
    return last - timedelta(days=(last.weekday() - 4) % 7)


def date_code(expiry_ns: int) -> str:
    """26DEC25, as venues write it."""
    day = datetime.fromtimestamp(expiry_ns // 1_000_000_000, UTC)
    return f"{day.day}{day:%b}{day:%y}".upper()


def _spot(coin: str, quotes: Quotes) -> Row:
    return EMPTY | {
        "instrument": f"{coin}-USDC", "kind": "spot", "payoff": "linear", "underlying": coin,
        "quote": "USDC", "settle": "USDC", "forward": quotes.price(coin) / quotes.price("USDC"),
        "adv": quotes.adv[coin], "half_spread": _spread(quotes.adv[coin]),
    }  # fmt: skip


def _perpetual(generator: np.random.Generator, coin: str, quotes: Quotes) -> Row:
    premium = np.exp(generator.normal(0.0, PREMIUM_SPREAD))
    adv = PERP_ADV * quotes.adv[coin]
    return EMPTY | {
        "instrument": f"{coin}-PERP", "kind": "perpetual", "payoff": "linear",
        "underlying": coin, "quote": "USDC", "settle": "USDC",
        "forward": quotes.price(coin) / quotes.price("USDC") * premium,
        "funding_rate": generator.normal(FUNDING_MEAN, FUNDING_SPREAD),
        "funding_cap": FUNDING_CAP if coin in SMILES else FUNDING_CAP_ALT,
        "adv": adv, "half_spread": _spread(adv),
    }  # fmt: skip


def _inverse_perpetual(generator: np.random.Generator, coin: str, quotes: Quotes) -> Row:
    adv = PERP_ADV / 4.0 * quotes.adv[coin]
    return _perpetual(generator, coin, quotes) | {
        "instrument": f"{coin}USD-PERP", "payoff": "inverse", "quote": "USD", "settle": coin,
        "contract_size": 100.0 if coin == "BTC" else 10.0,
        "forward": quotes.price(coin) * np.exp(generator.normal(0.0, PREMIUM_SPREAD)),
        "adv": adv, "half_spread": _spread(adv),
    }  # fmt: skip


def _quanto_perpetual(generator: np.random.Generator, quotes: Quotes) -> Row:
    """ETH in USD, paid in BTC at one millionth of a coin a dollar, as BitMEX wrote it."""
    return _inverse_perpetual(generator, "ETH", quotes) | {
        "instrument": "ETHUSD-QUANTO-BTC", "payoff": "quanto", "settle": "BTC",
        "contract_size": 1.0, "quanto_rate": 1e-6, "adv": 2.0e8, "half_spread": 0.0004,
    }  # fmt: skip


def _futures(coin: str, quotes: Quotes, expiry_ns: int, shift: float) -> list[Row]:
    """The same date linear in USDC and inverse in the coin."""
    years = (expiry_ns - quotes.at_ns) / YEAR_NS
    growth = np.exp(carry(years, shift) * years)
    adv = 0.10 * quotes.adv[coin]
    common = EMPTY | {
        "kind": "future", "underlying": coin, "expiry": expiry_ns, "adv": adv,
        "half_spread": _spread(adv),
    }  # fmt: skip
    code = date_code(expiry_ns)
    return [
        common | {
            "instrument": f"{coin}_USDC-{code}", "payoff": "linear", "quote": "USDC",
            "settle": "USDC", "forward": quotes.price(coin) / quotes.price("USDC") * growth,
        },
        common | {
            "instrument": f"{coin}-{code}", "payoff": "inverse", "quote": "USD", "settle": coin,
            "contract_size": 100.0 if coin == "BTC" else 10.0,
            "forward": quotes.price(coin) * growth,
        },
    ]  # fmt: skip


def _options(coin: str, quotes: Quotes, dates: tuple[int, ...], shift: float) -> list[Row]:
    """BTC inverse, ETH linear with premium in USDC; two ETH expiries also futures-style."""
    smile = SMILES[coin]
    years = (np.array(dates) - quotes.at_ns) / YEAR_NS
    thetas = atm_variance(years, quotes.sigmas[f"{coin}/USD"], smile)
    inverse = coin == "BTC"
    index = quotes.price(coin) / (1.0 if inverse else quotes.price("USDC"))
    rows: list[Row] = []
    for row, expiry_ns in enumerate(dates):
        t, theta = float(years[row]), float(thetas[row])
        forward = index * float(np.exp(carry(t, shift) * t))
        strikes = strike_ladder(forward, theta)
        vols = np.sqrt(total_variance(theta, np.log(strikes / forward), smile) / t)
        far = np.abs(np.log(strikes / forward)) / np.sqrt(theta)
        common = EMPTY | {
            "payoff": "inverse" if inverse else "linear", "underlying": coin,
            "quote": "USD" if inverse else "USDC", "settle": coin if inverse else "USDC",
            "expiry": expiry_ns, "forward": forward, "rate": 0.0, "half_spread": 0.0015,
        }  # fmt: skip
        styles = [("premium", "")] if inverse else [("premium", "_USDC")]
        styles += [("futures", "_USDC_F")] if not inverse and row in (4, 5) else []
        for style, suffix in styles:
            for strike, vol, z in zip(strikes.tolist(), vols.tolist(), far.tolist(), strict=True):
                for kind in ("call", "put"):
                    # The last far call is quoted by nobody: a book that holds it has no price.
                    orphan = inverse and kind == "call" and row == len(dates) - 1
                    orphan = orphan and strike == strikes[-1]
                    name = f"{coin}{suffix}-{date_code(expiry_ns)}-{strike:.10g}-{kind[0].upper()}"
                    rows.append(common | {
                        "instrument": name, "kind": kind, "style": style, "strike": strike,
                        "iv": vol, "status": "stale" if orphan else "live",
                        "adv": 2.0e7 * float(np.exp(-0.5 * z * z)),
                    })  # fmt: skip
    return rows


def strike_ladder(forward: float, theta: float) -> F64:
    """Up to 21 round strikes, from -2.4 to +2.4 standard deviations of the log."""
    reach = np.linspace(-STRIKE_REACH, STRIKE_REACH, 2 * STRIKES_SIDE + 1) * np.sqrt(theta)
    ideal = forward * np.exp(reach)
    # A step of 1, 2 or 5 times a power of ten, no wider than the ladder is at the money.
    step = (ideal[STRIKES_SIDE + 1] - ideal[STRIKES_SIDE - 1]) / 2.0
    power = 10.0 ** np.floor(np.log10(step))
    nice = power * max(m for m in (1.0, 2.0, 5.0) if m * power <= step)
    return np.unique(np.maximum(np.round(ideal / nice), 1.0) * nice)


def _spread(adv: float) -> float:
    """Half spread: 1 bp where a billion trades a day, growing with the root of what is missing."""
    return round(float(np.clip(1e-4 * np.sqrt(1e9 / adv), 0.5e-4, 30e-4)), 6)
