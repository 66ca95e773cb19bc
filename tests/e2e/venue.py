"""A small venue under load: a market, a few hundred accounts, and commands for ever.

Every command carries its key and its sender's stamp, so that it can be sent again as it was. The
commands come from a seed; only prices and stamps come from the clock.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

from crossmargin.adapters.codec import market_from_json
from crossmargin.adapters.files import load_rulebook
from crossmargin.domain.book import Mark, Print
from crossmargin.engine import commands as c
from crossmargin.engine.opening import listing_command
from crossmargin.ledger.events import PoolTerms

ACCOUNTS = 300
METHODS = ("cross_sum", "isolated", "cross_correlated")
# One contract is 10^18, one USDC 10^6, one ETH 10^18 smallest units.
CONTRACT, USDC, ETH = 10**18, 10**6, 10**18
# Prices older than the rulebook's 60 s would refuse what needs margin.
PRICES_EVERY_S = 0.5
# Only ever deposited, so that a balance says which deposits happened, and how often.
PROOF = "SOL"

MARKET = b"""{
"at": "2026-01-02T00:00:00Z", "numeraire": "USD", "source": "made by hand",
"factors": [
  {"factor": "BTC/USD", "kind": "spot", "class": "BTC", "level": 60000.0},
  {"factor": "ETH/USD", "kind": "spot", "class": "ETH", "level": 3000.0},
  {"factor": "SOL/USD", "kind": "spot", "class": "major", "level": 100.0},
  {"factor": "USDC/USD", "kind": "peg", "class": "stablecoin", "level": 1.0}],
"assets": [
  {"asset": "USD", "class": "fiat", "decimals": 2, "loads": ""},
  {"asset": "USDC", "class": "stablecoin", "decimals": 6, "loads": "USDC/USD"},
  {"asset": "BTC", "class": "blue_chip", "decimals": 8, "loads": "BTC/USD"},
  {"asset": "ETH", "class": "blue_chip", "decimals": 18, "loads": "ETH/USD"},
  {"asset": "SOL", "class": "altcoin", "decimals": 9, "loads": "SOL/USD"}],
"instruments": [
  {"instrument": "BTC-PERP", "kind": "perpetual", "underlying": "BTC", "quote": "USDC",
   "forward": 60010.0},
  {"instrument": "ETH-PERP", "kind": "perpetual", "underlying": "ETH", "quote": "USDC",
   "forward": 3001.0},
  {"instrument": "ETH-USDC", "kind": "spot", "underlying": "ETH", "quote": "USDC"}]
}"""
LEVELS = {"BTC": 60_000.0, "ETH": 3_000.0, "SOL": 100.0}


def opening() -> Iterator[c.AnyCommand]:
    """Yield what a new store is told first: market, rules, prices, funded accounts."""
    now = time.time_ns()
    tables = market_from_json(MARKET)
    yield listing_command(tables, "listing", now)
    yield c.AdoptRulebook(key="rules", issued_ns=now, rules=load_rulebook("prime-24h").packed())
    yield prices("prices", random.Random(0))
    for n in range(ACCOUNTS):
        terms = (PoolTerms("shared", METHODS[n % len(METHODS)]),)
        yield c.OpenAccount(key=f"open-{n}", issued_ns=now, account=name(n), pools=terms)
        for asset, amount in (("USDC", 50_000 * USDC), ("ETH", 20 * ETH)):
            yield c.Deposit(
                key=f"fund-{n}-{asset}", issued_ns=now, account=name(n), asset=asset, amount=amount
            )


def name(n: int) -> str:
    """Return the name of account n."""
    return f"account-{n}"


def prices(key: str, rng: random.Random) -> c.AcceptPrices:
    """Return new prices, a little away from where the market was listed."""
    now = time.time_ns()
    at = {coin: level * (1.0 + rng.uniform(-0.01, 0.01)) for coin, level in LEVELS.items()}
    prints = {f"{coin}/USD": Print(level) for coin, level in at.items()}
    marks = {f"{coin}-PERP": Mark(at[coin]) for coin in ("BTC", "ETH")}
    return c.AcceptPrices(
        key=key, issued_ns=now, stamped_ns=now,
        prints={**prints, "USDC/USD": Print(1.0)}, marks=marks,
    )  # fmt: skip


def commands(seed: str, stem: str) -> Iterator[c.AnyCommand]:
    """Yield commands for ever, keys stem-0, stem-1, ...; prices among them twice a second."""
    rng = random.Random(seed)
    kinds, weights = zip(*MIX.items(), strict=True)
    priced = 0.0
    number = 0
    while True:
        key = f"{stem}-{number}"
        number += 1
        if time.monotonic() - priced > PRICES_EVERY_S:
            priced = time.monotonic()
            yield prices(key, rng)
        else:
            [kind] = rng.choices(kinds, weights)
            yield kind(key, time.time_ns(), rng)


def _account(rng: random.Random) -> str:
    return name(rng.randrange(ACCOUNTS))


def _two(rng: random.Random) -> tuple[str, str]:
    one = rng.randrange(ACCOUNTS)
    return name(one), name((one + rng.randrange(1, ACCOUNTS)) % ACCOUNTS)


def _deposit(key: str, now: int, rng: random.Random) -> c.Deposit:
    amount = rng.randrange(1, 10**6)
    return c.Deposit(key=key, issued_ns=now, account=_account(rng), asset=PROOF, amount=amount)


def _withdraw(key: str, now: int, rng: random.Random) -> c.Withdraw:
    amount = rng.randrange(1, 20 * USDC)
    return c.Withdraw(key=key, issued_ns=now, account=_account(rng), asset="USDC", amount=amount)


def _transfer(key: str, now: int, rng: random.Random) -> c.Transfer:
    one, other = _two(rng)
    return c.Transfer(
        key=key, issued_ns=now, account=one, to_account=other, asset="USDC",
        amount=rng.randrange(1, 20 * USDC),
    )  # fmt: skip


def _fill(key: str, now: int, rng: random.Random) -> c.Fill:
    one, other = _two(rng)
    coin = rng.choice(("BTC", "ETH"))
    price = f"{LEVELS[coin] * rng.uniform(0.999, 1.001):.2f}"
    size = rng.randrange(1, 100) * CONTRACT // 10_000
    return c.Fill(
        key=key, issued_ns=now, instrument=f"{coin}-PERP", contracts=size, price=price,
        buyer=c.Side(one, fee=rng.randrange(1_000)), seller=c.Side(other),
    )  # fmt: skip


def _place(key: str, now: int, rng: random.Random) -> c.PlaceOrder:
    side = rng.choice((-1, 1))
    return c.PlaceOrder(
        key=key, issued_ns=now, account=_account(rng), order=key, instrument="ETH-PERP",
        contracts=side * CONTRACT // 1_000, limit_price="2900", reduce_only=False,
    )  # fmt: skip


def _cancel(key: str, now: int, rng: random.Random) -> c.CancelOrder:
    # All of the pool's: where it has none the command is refused, which is an answer as well.
    return c.CancelOrder(key=key, issued_ns=now, account=_account(rng))


def _batch(key: str, now: int, rng: random.Random) -> c.Batch:
    inner = tuple(kind("", 0, rng) for kind in (_transfer, _deposit, _fill))
    return c.Batch(key=key, issued_ns=now, commands=inner)


MIX = {
    _deposit: 42, _withdraw: 12, _transfer: 16, _fill: 12, _place: 6, _cancel: 4, _batch: 8,
}  # fmt: skip
