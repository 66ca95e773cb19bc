"""The attacks themselves: figures as they were reported, dollars for every dollar coin.

In     a base rulebook, from which each venue's own terms of the day are made.
Out    an `Incident` each.
Owns   which terms the venue had, which one entry would have stopped it, and the steps.
Never  tells the engine who is an attacker.
Signs  as simulation.incidents.
Spec   docs/incidents.md
"""

from __future__ import annotations

import math
from collections.abc import Callable

from crossmargin.domain.rulebook import Rulebook
from crossmargin.engine import commands as c
from crossmargin.simulation.incidents import (
    Incident,
    Quoted,
    Step,
    borrows,
    changed,
    listed,
    opened,
    pays_in,
    price,
    trades,
)

# Terms without what this library calls protection: no size costs more, gains count in full at once,
# the oracle's price is the price, anybody may borrow everything.
BARE: dict[str, object] = {
    "classes.altcoin.liquidity": [{"up_to": math.inf, "mm": 0.04, "im": 0.07}],
    "tiers": [{"up_to_adv": math.inf, "multiplier": 1.0}],
    "gain_tiers.C": {"mm": 1.0, "im": 1.0},
    "oracle.price_uncertainty": False,
    "oracle.stale_s": 86_400.0,
}


def lent(cap: float) -> dict[str, float]:
    """Terms of a loan of which only the cap matters here."""
    return {
        "cap": cap, "base": 0.0, "slope_low": 0.0, "kink": 0.5, "slope_high": 0.0,
        "utilisation_max": 0.95,
    }  # fmt: skip


UNCAPPED = lent(1e12)
MANGO_TERMS = {**BARE, "lending.USD": UNCAPPED, "classes.altcoin.range": 0.16}
CRV_TERMS = {**BARE, "lending.CRV": UNCAPPED}
INVERSE_TERMS = {**BARE, "lending.USD": UNCAPPED}
HELIO_TERMS = INVERSE_TERMS
JELLY_TERMS = {**BARE, "classes.altcoin.range": 0.16}
USDE_TERMS = {
    **BARE, "oracle.stale_s": 60.0, "lending.USD": UNCAPPED,
    "classes.synthetic.liquidity": [{"up_to": math.inf, "mm": 0.02, "im": 0.04}],
}  # fmt: skip


def mango_2022(base: Rulebook) -> Incident:
    """11 Oct 2022: one trader on both sides of 483 M MNGO perpetuals, MNGO from 0.038 to 0.91, and
    the winning side's paper gain borrowed against: 116 M gone. Each side put in 5 M. Protection:
    gains of thin coins count for nothing when new risk is taken."""
    bare = changed(base, MANGO_TERMS)
    sells = c.Liquidate(
        account="long", instrument="MNGO-PERP", contracts=483_000_000 * 10**18, price="0.03",
        buys=False, counterparty=c.Side("short"), tier="C",
    )  # fmt: skip
    return Incident(
        "mango-2022", 116e6, bare, changed(bare, {"gain_tiers.C": {"mm": 0.5, "im": 0.0}}),
        listed({"MNGO": 0.0382}),
        (
            price("MNGO", 0.0382), *opened("lenders", "long", "short"),
            pays_in("lenders", "USD", 130e6), pays_in("long", "USD", 5e6),
            pays_in("short", "USD", 5e6),
            trades("long", "short", "MNGO-PERP", 483e6, "0.0382"),
            # A slow price would be near 0.04; a print may state a tenth of the level at least.
            price("MNGO", 0.91, stable=0.0911, after_s=1_200.0),
            borrows("long", "USD", 115e6),
            price("MNGO", 0.03, after_s=1_800.0), Step("the long side is sold out at 0.03", sells),
            price("MNGO", 0.02),
        ),
        ("long", "short"),
    )  # fmt: skip


def crv_2022(base: Rulebook) -> Incident:
    """22 Nov 2022: 92 M CRV borrowed against 63.6 M dollars and sold; CRV rose before it could be
    bought back, 1.6 M of bad debt. Protection: no more of a coin is lent than a day buys back."""
    bare = changed(base, CRV_TERMS)
    bought = c.Liquidate(
        account="short", instrument="CRV/USD", contracts=4_600_000 * 10**18, price="0.60",
        buys=True, counterparty=c.Side("@outside"), tier="C",
    )  # fmt: skip
    slices = tuple(borrows("short", "CRV", 11.5e6) for _ in range(8))
    return Incident(
        "crv-2022", 1.6e6, bare, changed(bare, {"lending.CRV": lent(20e6)}),
        listed({"CRV": 0.41}),
        (
            price("CRV", 0.41), *opened("lenders", "short"), pays_in("lenders", "CRV", 120e6),
            pays_in("short", "USD", 63.6e6), *slices,
            price("CRV", 0.55, after_s=1_800.0),
            Step("a twentieth is bought back at 0.60", bought),
            price("CRV", 0.709, after_s=1_200.0),
        ),
        ("short",),
    )  # fmt: skip


def inverse_2022(base: Rulebook) -> Incident:
    """2 Apr 2022: a thin pair pushed until the oracle said fifty times the price; INV as collateral
    for 15 M. Protection: new risk is taken at the lower of the price and the slow price."""
    bare = changed(base, INVERSE_TERMS)
    slices = tuple(borrows("pusher", "USD", 1.5e6) for _ in range(10))
    return Incident(
        "inverse-2022", 15e6, bare, changed(bare, {"oracle.price_uncertainty": True}),
        listed({"INV": 400.0}),
        (
            price("INV", 400.0), *opened("lenders", "pusher"), pays_in("lenders", "USD", 20e6),
            pays_in("pusher", "INV", 1_700.0), price("INV", 20_000.0, stable=2_001.0), *slices,
            price("INV", 400.0, after_s=600.0),
        ),
        ("pusher",),
    )  # fmt: skip


def helio_2022(base: Rulebook) -> Incident:
    """2 Dec 2022: a staked coin minted without limit fell from 300 to under 2 while the lender's
    feed stood still; 16 M borrowed on next to nothing. Protection: an hour-old print is no price.
    """
    bare = changed(base, HELIO_TERMS)
    late = pays_in("minter", "aBNB", 92_000.0)
    return Incident(
        "helio-2022", 15.5e6, bare, changed(bare, {"oracle.stale_s": 60.0}),
        listed({"aBNB": 300.0}),
        (
            price("aBNB", 300.0), *opened("lenders", "minter"), pays_in("lenders", "USD", 20e6),
            Step(late.words, late.command, after_s=3_600.0), borrows("minter", "USD", 16e6),
            price("aBNB", 2.0),
        ),
        ("minter",),
    )  # fmt: skip


def jelly_2025(base: Rulebook) -> Incident:
    """26 Mar 2025: 430 M JELLY sold short against oneself, the margin taken out, the vault made to
    take the short over, and the coin bought up: 12 to 13.5 M of open loss. Protection: what is
    large beside a day's volume (1 M) needs up to twice the margin: 1.64 M where 1.5 M were put in.
    A richer attacker passes, for nothing here limits open interest beside a coin's whole worth."""
    bare = changed(base, JELLY_TERMS)
    out = c.Withdraw(account="short", asset="USD", amount=600_000_00)
    over = c.Liquidate(
        account="short", instrument="JELLY-PERP", contracts=430_000_000 * 10**18, price="0.0115",
        buys=True, counterparty=c.Side("vault"), tier="C",
    )  # fmt: skip
    tiers = [{"up_to_adv": tier.up_to_adv, "multiplier": tier.multiplier} for tier in base.tiers]
    return Incident(
        "jelly-2025", 12.7e6, bare, changed(bare, {"tiers": tiers}),
        listed({"JELLY": 0.0095}, adv=1e6),
        (
            price("JELLY", 0.0095), *opened("vault", "short", "long"),
            pays_in("vault", "USD", 20e6), pays_in("short", "USD", 1.5e6),
            pays_in("long", "USD", 1.5e6),
            trades("long", "short", "JELLY-PERP", 430e6, "0.0095"),
            Step("the short side takes its margin out", out), price("JELLY", 0.0115),
            Step("the vault takes the short over", over), price("JELLY", 0.041, after_s=3_600.0),
        ),
        ("long", "short"),
    )  # fmt: skip


BOOK = ("binance_spot", "binance_index", "binance_mark")  # three feeds, one order book
POOLS = ("uniswap", "curve")


def said(book: float, pools: float) -> tuple[Step, ...]:
    """What five sources of USDe say for two minutes, every half a minute."""
    prices = {**dict.fromkeys(BOOK, book), **dict.fromkeys(POOLS, pools)}
    words = f"USDe {book:g} on the book, {pools:g} in the pools"
    return tuple(Step(words, Quoted("USDe/USD", prices), after_s=30.0) for _ in range(4))


def usde_2025(base: Rulebook) -> Incident:
    """10 Oct 2025: USDe stood at 0.66 on one venue's book and at 0.996 everywhere else; 346 M of it
    was sold out there, and what users lost was refunded. Here as one loan of 85 % on 346 M, priced
    by five sources of which three read that book. Protection: they are one source together. Under
    both rulebooks the breaker holds the fall back for a minute; it lasted forty."""
    bare = changed(base, USDE_TERMS)
    sold = c.Liquidate(
        account="holder", instrument="USDe/USD", contracts=346_000_000 * 10**18, price="0.66",
        buys=False, counterparty=c.Side("@outside"), tier="C",
    )  # fmt: skip
    return Incident(
        "usde-2025", 117e6, bare, changed(bare, {"oracle.sources.groups.one_book": list(BOOK)}),
        listed({"USDe": 1.0}, risk_class="synthetic"),
        (
            *said(1.0, 1.0), *opened("lenders", "holder"), pays_in("lenders", "USD", 400e6),
            pays_in("holder", "USDe", 346e6), borrows("holder", "USD", 294.1e6),
            *said(0.66, 0.996), Step("the holder is sold out at 0.66", sold), *said(0.998, 0.998),
        ),
        (),
        (*BOOK, *POOLS),
    )  # fmt: skip


ATTACKS: dict[str, Callable[[Rulebook], Incident]] = {
    "mango-2022": mango_2022,
    "crv-2022": crv_2022,
    "inverse-2022": inverse_2022,
    "helio-2022": helio_2022,
    "jelly-2025": jelly_2025,
    "usde-2025": usde_2025,
}
