"""From the steps of a plan to forced sales: floats of an estimate become exact commands.

In     steps and fills of a plan, the pool's draft, how each item is sold.
Out    `Liquidate` commands in the draft, each against @outside at the plan's expected price.
Owns   lots to contracts and coins, prices to text, which spot pairs carry a swap, fee and penalty.
Never  decides what is sold; sells more than is held or buys more than is owed.
Signs  contracts 10^-18, > 0; coins are smallest units; costs >= 0, numeraire.
Spec   docs/spec/09-loop.md, (9.104) to (9.107)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from crossmargin.base.fixed import scale_down
from crossmargin.domain.book import CONTRACT_DECIMALS, OUTSIDE, Terms
from crossmargin.engine.commands import Liquidate, Side
from crossmargin.engine.draft import Draft
from crossmargin.frames.compile import to_smallest_units, written_units
from crossmargin.ledger import exactly
from crossmargin.liquidation.mechanisms import Terms as Selling
from crossmargin.liquidation.plan import price_with
from crossmargin.liquidation.steps import Fill, Step
from crossmargin.margin.prepared import Market

# A float that is all but the whole position is the whole: what is left would be its rounding.
WHOLE = 1.0 - 1e-12
CONTRACT = 10**CONTRACT_DECIMALS


@dataclass(frozen=True, slots=True)
class Desk:
    """What a fill is read with: the market, how items are sold, the ledger's terms."""

    market: Market
    selling: Selling
    terms: dict[str, Terms]
    decimals: dict[str, int]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of items, assets first."""
        return self.market.frame.item_names

    def is_asset(self, item: int) -> bool:
        """Return whether an item is an asset."""
        return item < self.market.frame.n_assets

    def price(self, item: int) -> float:
        """Return an asset's price, numeraire."""
        return float(self.market.priced.price[item])

    def asset(self, name: str) -> int:
        """Return an asset's row."""
        return self.market.frame.assets.names.index(name)

    def units(self, value: float, asset: str) -> int:
        """Return what a value, numeraire, is in an asset, rounded down: for who is charged."""
        return max(0, written_units(value / self.price(self.asset(asset)), self.decimals[asset]))

    def tier(self, item: int) -> str:
        """Return the tier whose insurance stands behind an item: of its underlying's class."""
        frame, rules = self.market.frame, self.market.rulebook
        n = frame.n_assets
        asset = item if item < n else int(frame.instruments.underlying[item - n])
        return rules.classes[self.market.view.asset_class[asset]].gain_tier


class Charge(NamedTuple):
    """What a forced sale is charged beyond its price, numeraire; how it is reduced by parts."""

    fee: float
    penalty: float

    def share(self, frac: float) -> Charge:
        """Return a part of it."""
        return Charge(self.fee * frac, self.penalty * frac)


NOTHING = Charge(0.0, 0.0)


def carry_out(step: Step, draft: Draft, desk: Desk) -> bool:
    """Add one step's commands to the draft; False where one is refused: then none of it stays."""
    before = len(draft.commands)
    if step.kind == "swap":
        done = swap(step, draft, desk)
    else:
        done = legs(step, draft, desk, step.fills)
        if not done and len(step.fills) == 2:
            # Which leg may go first is a matter of the hedge that is left between them.
            draft.back_to(before)
            done = legs(step, draft, desk, step.fills[::-1])
    if not done:
        draft.back_to(before)
    return done


def legs(step: Step, draft: Draft, desk: Desk, fills: tuple[Fill, ...]) -> bool:
    """Close each leg; fee and penalty are the first fill's, as the plan takes them."""
    for fill in fills:
        first = fill is step.fills[0]
        charge = Charge(step.cost.fee, step.cost.penalty) if first else NOTHING
        slip = (step.cost.half_spread + step.cost.impact) / len(fills) + charge.fee
        lots = step.lots if first else 0
        contracts = contracts_of(fill, lots, draft, desk)
        held = -fill.quantity
        price = price_with(fill.item, held, slip, desk.market)
        if desk.market.items.futures_like[fill.item]:
            text = price_text(price)
        else:
            text = premium_text(fill.item, held, slip, desk)
        if not close(draft, desk, fill.item, (contracts, text), charge):
            return False
    return True


def contracts_of(fill: Fill, lots: int, draft: Draft, desk: Desk) -> int:
    """Return the contracts of a fill: whole lots, all where all goes, never more than is held."""
    name, way = desk.names[fill.item], 1 if fill.quantity > 0.0 else -1
    held = sum(
        abs(found.contracts)
        for _, part in draft.parts()
        if (found := part.positions.get(name)) is not None and (found.contracts > 0) != (way > 0)
    )
    if abs(fill.quantity) >= WHOLE * held / CONTRACT:
        return held
    if not lots:
        return min(held, written_units(abs(fill.quantity), CONTRACT_DECIMALS))
    lot = exactly.ratio(repr(float(desk.selling.lot[fill.item])))
    assert lot is not None
    return min(held, scale_down(lots * CONTRACT, *lot))


def close(
    draft: Draft, desk: Desk, item: int, deal: tuple[int, str | None], charge: Charge
) -> bool:
    """Close contracts of a position at a price against @outside, pool by pool of what merges."""
    (contracts, price), name, account = deal, desk.names[item], draft.owner[0]
    if price is None:
        draft.whys.append(f"Liquidate: no price above 0 closes {name}")
        return False
    left, settle = contracts, desk.terms[name].settle
    for part, state in draft.parts():
        held = state.positions.get(name)
        if held is None or not left:
            continue
        some = min(left, abs(held.contracts))
        mine = charge.share(some / contracts)
        refused = draft.add(
            Liquidate(
                account=account, pool=part, instrument=name, contracts=some, price=price,
                buys=held.contracts < 0, tier=desk.tier(item),
                counterparty=Side(OUTSIDE, fee=desk.units(mine.fee, settle)),
                penalty=desk.units(mine.penalty, settle),
            )
        )  # fmt: skip
        if refused is not None:
            return False
        left -= some
    return not left


def price_text(price: float) -> str | None:
    """Return a price as the float reads in full, so that nobody gains by its rounding."""
    if not math.isfinite(price) or exactly.price(repr(float(price))) is None:
        return None
    return repr(float(price))


def premium_text(item: int, held: float, slip: float, desk: Desk) -> str | None:
    """Return the premium, settlement units, at which closing `held` loses `slip` to its value."""
    market, terms = desk.market, desk.terms[desk.names[item]]
    each = float(terms.size) * (float(terms.quanto_rate) if terms.payoff == "quanto" else 1.0)
    worth = float(market.items.unit_value[item]) - slip / held
    return price_text(worth / (each * desk.price(int(market.items.settle[item]))))


# --- swaps ----------------------------------------------------------------------------------------


def swap(step: Step, draft: Draft, desk: Desk) -> bool:
    """Sell an asset for one that is owed, pool by pool of what merges, the fullest first."""
    [fill] = step.fills
    give = desk.names[fill.item]
    whole = left = coins_of(fill, step.lots, draft, desk)
    parts = [part for part, _ in draft.parts()]
    for part in sorted(parts, key=lambda name: -draft.balance(name, give)):
        some = min(left, draft.balance(part, give))
        if some <= 0:
            continue
        if not _swap_of(step, draft, desk, (part, some, some / whole)):
            return False
        left -= some
    return not left


def _swap_of(step: Step, draft: Draft, desk: Desk, what: tuple[str, int, float]) -> bool:
    """Sell one pool's coins, a fraction of the step's, through a pair of both or the numeraire."""
    part, coins, frac = what
    [fill] = step.fills
    give, take = desk.names[fill.item], desk.names[fill.cash_item]
    money, cost = desk.market.frame.numeraire, step.cost
    loss = (cost.half_spread + cost.impact + cost.fee) / -fill.quantity
    charge = Charge(cost.fee, cost.penalty).share(frac)
    worth = desk.price(fill.item) - loss
    if pair_of(give, take, desk) is not None:
        return sell(draft, desk, (part, give, take), (coins, worth), charge)
    wanted = to_smallest_units(frac * fill.cash, desk.decimals[take], round_down=True)
    if pair_of(take, give, desk) is not None:
        paid = desk.price(fill.cash_item) * desk.price(fill.item) / worth
        return buy(draft, desk, (part, take, give), (wanted, paid), charge)
    had = draft.balance(part, money)
    if not sell(draft, desk, (part, give, money), (coins, worth), charge):
        return False
    if take == money:
        return True
    # What the sale brought buys the debt, also where money itself is owed: that was not the plan's.
    spends = draft.balance(part, money) - had
    deal = (wanted, desk.price(fill.cash_item))
    return buy(draft, desk, (part, take, money), deal, NOTHING, spends)


Pair = tuple[str, str, str]
"""A pool's name, the base that is sold or bought, the quote."""


def holder_of(asset: str, draft: Draft) -> str:
    """Return the pool, of those that merge, that holds most of an asset."""
    return max(draft.parts(), key=lambda named: named[1].balances.get(asset, 0))[0]


def coins_of(fill: Fill, lots: int, draft: Draft, desk: Desk) -> int:
    """Return the smallest units of a sold asset: whole lots, all where all goes."""
    name = desk.names[fill.item]
    decimals = desk.decimals[name]
    held = sum(max(0, draft.balance(part, name)) for part, _ in draft.parts())
    if -fill.quantity >= WHOLE * held / 10**decimals:
        return held
    lot = exactly.ratio(repr(float(desk.selling.lot[fill.item])))
    assert lot is not None
    return min(held, scale_down(lots * 10**decimals, *lot))


def pair_of(base: str, quote: str, desk: Desk) -> str | None:
    """Return the spot pair of two assets, the first by name; None where none is listed."""
    return min(
        (
            name
            for name, terms in desk.terms.items()
            if terms.kind == "spot" and (terms.underlying, terms.quote) == (base, quote)
        ),
        default=None,
    )


def sell(
    draft: Draft, desk: Desk, what: Pair, deal: tuple[int, float], charge: Charge
) -> bool:  # fmt: skip
    """Sell coins of the base at a price in the numeraire."""
    return _trade(draft, desk, what, (*deal, False), charge)


def buy(
    draft: Draft, desk: Desk, what: Pair, deal: tuple[int, float], charge: Charge,
    spends: int | None = None,
) -> bool:  # fmt: skip
    """Buy coins of the base, at most what is owed and what the quote pays for.

    spends  units of the quote there are for it; None: all the pool has
    """
    part, base, quote = what
    coins, price = deal
    each = price / desk.price(desk.asset(quote))
    cash = draft.balance(part, quote) if spends is None else spends
    cash -= desk.units(charge.penalty, quote)
    most = max(0.0, cash / 10 ** desk.decimals[quote] / each)
    enough = to_smallest_units(most, desk.decimals[base], round_down=True)
    coins = min(coins, -draft.balance(part, base), enough)
    return _trade(draft, desk, what, (coins, price, True), charge)


def _trade(
    draft: Draft, desk: Desk, what: Pair, deal: tuple[int, float, bool], charge: Charge
) -> bool:
    (part, base, quote), (coins, price, buys) = what, deal
    pair = pair_of(base, quote, desk)
    if pair is None:
        draft.whys.append(f"Liquidate: no spot pair trades {base} for {quote}")
        return False
    size = exactly.ratio(desk.terms[pair].size)
    assert size is not None
    contracts = scale_down(coins * CONTRACT, size[1], size[0] * 10 ** desk.decimals[base])
    text = price_text(price / desk.price(desk.asset(quote)))
    if text is None or contracts <= 0:
        draft.whys.append(f"Liquidate: nothing of {base} trades for {quote} at {price}")
        return False
    return draft.add(
        Liquidate(
            account=draft.owner[0], pool=part, instrument=pair, contracts=contracts, price=text,
            buys=buys, tier=desk.tier(desk.asset(base)),
            counterparty=Side(OUTSIDE, fee=desk.units(charge.fee, quote)),
            penalty=desk.units(charge.penalty, quote),
        )
    ) is None  # fmt: skip
