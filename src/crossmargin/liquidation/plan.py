"""What a liquidatable pool sells: step by step, never further than needed, at which expected cost.

In     BookFrame of the accounts concerned, a Market whose rulebook has `liquidation.execution`.
Out    a frozen `Plan` for each pool asked about.
Owns   the order of steps, the guard against toxic spirals, how large a step is, when a plan ends.
Never  sends an order; chooses who is liquidated; margins with code of its own; trades a bad price.
Signs  as `steps`.
Spec   docs/spec/09-liquidation.md, 9.1 to 9.7
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from crossmargin.base.arrays import F64
from crossmargin.base.errors import InputInvalid
from crossmargin.frames.book import BookFrame
from crossmargin.kernels.auctions import price_of_pnl
from crossmargin.liquidation import takeover
from crossmargin.liquidation.deals import (
    Deal,
    Pool,
    Tried,
    account_of,
    deals_of,
    market_items,
    numeraire_row,
    own_numbers,
    paid_in,
    pool_at,
    tried,
)
from crossmargin.liquidation.mechanisms import MECHANISMS, Terms, execution_of, selling_terms
from crossmargin.liquidation.policies import POLICIES, ordered, reason
from crossmargin.liquidation.steps import Expected, Fill, Plan, State, Step
from crossmargin.margin.prepared import Market
from crossmargin.margin.requirement import RequirementFrame, Verdict
from crossmargin.methods.registry import assess, select_accounts

SIZES = 24  # sizes of a deal looked at together
GAIN_MIN = 1e-9  # of the pool's money: less than this is the rounding of a buffer


@dataclass(frozen=True, slots=True)
class Options:
    """How to plan.

    policy          None: the rulebook's
    in_liquidation  the pool was liquidatable and has not reached the target since (spec 9.2): its
                    plan goes on although buffer_MM is not negative
    """

    policy: str | None = None
    in_liquidation: bool = False


@dataclass(frozen=True, slots=True)
class Chosen:
    """One deal at one size, and the row of `tried` it is."""

    tried: Tried
    row: int

    @property
    def buffer(self) -> float:
        return float(self.tried.buffer[self.row])

    @property
    def cost(self) -> float:
        return float(self.tried.total_cost[self.row])


@dataclass(frozen=True, slots=True)
class Task:
    """What stays the same while one pool is planned."""

    market: Market
    terms: Terms
    policy: str
    target: float


Pick = Callable[[Task, Pool, State, frozenset[int]], Chosen | None]


def plan(book: BookFrame, market: Market, pool: int, options: Options = Options()) -> Plan:
    """Return the plan of one pool, by row of the book.

    The whole account must be in the book: draws and owners' totals are the account's.
    """
    policy = options.policy or execution_of(market).policy
    if policy not in POLICIES:
        raise InputInvalid("policy", policy, f"be one of {', '.join(POLICIES)}", "name a policy")
    if policy == "optimal":
        from crossmargin.liquidation.optimal import best_plan

        return best_plan(book, market, pool, options)
    return simple_plan(book, market, pool, replace(options, policy=policy))


def plans(book: BookFrame, market: Market, options: Options = Options()) -> tuple[Plan, ...]:
    """Return a plan for every pool that is LIQUIDATABLE or BANKRUPT, in the order of the book."""
    verdict = assess(book, market, threads=1).verdict
    wanted = (verdict == Verdict.LIQUIDATABLE) | (verdict == Verdict.BANKRUPT)
    return tuple(plan(book, market, int(row), options) for row in np.flatnonzero(wanted))


def simple_plan(
    book: BookFrame, market: Market, pool: int, options: Options, pick: Pick | None = None
) -> Plan:
    """Return the plan of one pool when `pick` (None: the policy's order) chooses each deal."""
    assert options.policy is not None
    task = Task(
        market, selling_terms(market), options.policy, market.rulebook.liquidation.target_health
    )
    account = int(book.account_of_pool()[pool])
    own = select_accounts(book, np.array([account]))
    row = pool - int(book.account_starts[account])
    frame = assess(own, market, threads=1)
    start = state_of(frame, row)
    verdict = frame.verdict[row]
    blank = Plan(
        str(book.account_names[account]), str(book.pool_names[pool]),
        book.method_names[book.method[pool]], options.policy, task.target,
        execution_of(market).round_s, start, (), "none", 0.0,
    )  # fmt: skip
    asked = options.in_liquidation and start.health < task.target
    if verdict not in (Verdict.LIQUIDATABLE, Verdict.BANKRUPT) and not (
        asked and verdict != Verdict.UNPRICED
    ):
        return blank
    own, steps = cancelled(own, row, start)
    return _walked(blank, task, (own, row), steps, pick or by_policy)


def _walked(
    blank: Plan, task: Task, where: tuple[BookFrame, int], steps: list[Step], pick: Pick
) -> Plan:
    """Take steps until the target, or until none helps; then what the end asks for."""
    own, row = where
    state, turn, used = blank.start, 0, frozenset[int]()
    rounds = execution_of(task.market).rounds_max
    while state.health < task.target:
        pool = pool_at(own, row, task.market)
        if pool.bankrupt:
            break
        chosen = pick(task, pool, state, used)
        if chosen is None:
            if not used or turn + 1 >= rounds:
                break
            turn, used = turn + 1, frozenset()
            continue
        step = step_of(chosen, pool, state, turn, task)
        steps.append(step)
        own, state = account_of(chosen.tried.books, chosen.row, row), step.after
        used |= market_items(chosen.tried.deal, numeraire_row(task.market))
    return ended(blank, task, (own, row), state, turn, steps)


def state_of(frame: RequirementFrame, row: int) -> State:
    """Return the numbers of one account's pool as plain floats."""
    return State(*(float(x[0]) for x in own_numbers(frame, row, len(frame))))


# --- the first steps ------------------------------------------------------------------------------


def cancelled(own: BookFrame, row: int, state: State) -> tuple[BookFrame, list[Step]]:
    """Return the account without the pool's open orders, and the step that cancels them."""
    lo, hi = int(own.order_starts[row]), int(own.order_starts[row + 1])
    if lo == hi:
        return own, []
    kept = np.ones(len(own.order_item), np.bool_)
    kept[lo:hi] = False
    starts = own.order_starts.copy()
    starts[row + 1 :] -= hi - lo
    after = replace(
        own, order_starts=starts, order_item=own.order_item[kept],
        order_quantity=own.order_quantity[kept], order_limit=own.order_limit[kept],
        order_reduce_only=own.order_reduce_only[kept],
    )  # fmt: skip
    why = f"{hi - lo} open orders come first: they could only add risk"
    return after, [Step("cancel", 0, "-", (), hi - lo, Expected(), state, state, why)]


def by_policy(task: Task, pool: Pool, state: State, used: frozenset[int]) -> Chosen | None:
    """Return the first deal in the policy's order that helps, or the most relief for its cost."""
    deals = ordered(task.policy, deals_of(pool, task.market, task.terms, used), task.terms)
    found: list[Chosen] = []
    for deal in deals:
        chosen = sized(deal, task, pool, state)
        if chosen is None:
            continue
        if used and chosen.buffer - state.buffer < chosen.cost:
            continue  # a poor deal waits: in the next round the markets used now are open again
        if deal.kind == "net" or task.policy != "best_relief_per_cost":
            return chosen
        found.append(chosen)
    if not found:
        return None

    def worth(chosen: Chosen) -> float:
        return (chosen.buffer - state.buffer) / max(chosen.cost, 1e-12)

    return max(found, key=worth)


# --- how much -------------------------------------------------------------------------------------


def sized(deal: Deal, task: Task, pool: Pool, state: State) -> Chosen | None:
    """Return the deal at the smallest size that reaches the target, else at its most relief.

    None where no size raises buffer_MM net of everything it costs: the toxic-spiral guard (9.4).
    """
    every = deal.lots
    lots = np.unique(np.geomspace(1, every, SIZES).round().astype(np.int64))
    look = tried(deal, lots, pool, task.market, task.terms)
    helps, reached = judged(look, task, state)
    if not helps.any():
        return None
    if reached.any():
        first = int(np.argmax(reached))
        low = int(lots[first - 1]) if first else 0
        found = _smallest(Chosen(look, first), low, task, pool, state)
        return _without_dust(found, task, pool, state)
    best = int(np.argmax(np.where(helps, look.buffer, -np.inf)))
    found = Chosen(look, best)
    # What helps most may lie between two sizes: a hedge that is sold away, impact that overtakes.
    low, high = int(lots[max(0, best - 1)]), int(lots[min(len(lots) - 1, best + 1)])
    inside = np.unique(np.linspace(low, high, SIZES).round().astype(np.int64))
    look = tried(deal, inside, pool, task.market, task.terms)
    helps, reached = judged(look, task, state)
    if reached.any():
        first = int(np.argmax(reached))
        low = int(inside[first - 1]) if first else low
        found = _smallest(Chosen(look, first), low, task, pool, state)
    elif helps.any() and look.buffer[helps].max() > found.buffer:
        found = Chosen(look, int(np.argmax(np.where(helps, look.buffer, -np.inf))))
    return _without_dust(found, task, pool, state)


def judged(look: Tried, task: Task, state: State) -> tuple[np.ndarray, np.ndarray]:
    """(N,) whether each size helps, and whether it helps and reaches the target."""
    floor = GAIN_MIN * max(1.0, abs(state.equity), abs(state.buffer))
    # Costs that eat all there is would end in bad debt: such a pool is better taken over. A penalty
    # cut to what is left leaves nothing but what rounding made of it.
    solvent = np.isfinite(look.total_cost) & (look.equity > floor)
    helps = solvent & (look.buffer > state.buffer + floor)
    return helps, helps & (look.health >= task.target)


def _smallest(found: Chosen, low: int, task: Task, pool: Pool, state: State) -> Chosen:
    """Narrow down to a size that reaches the target while one lot less does not (9.3)."""
    high = int(found.tried.lots[found.row])
    while high - low > 1:
        inside = np.unique(np.linspace(low, high, SIZES).round().astype(np.int64))
        inside = inside[(inside > low) & (inside < high)]
        look = tried(found.tried.deal, inside, pool, task.market, task.terms)
        _, reached = judged(look, task, state)
        if reached.any():
            first = int(np.argmax(reached))
            low = int(inside[first - 1]) if first else low
            found, high = Chosen(look, first), int(inside[first])
        else:
            low = int(inside[-1])
    return found


def _without_dust(found: Chosen, task: Task, pool: Pool, state: State) -> Chosen:
    """Sell the rest as well where less than `dust` would stay, if that still helps (9.3)."""
    deal = found.tried.deal
    left = deal.whole - float(found.tried.units[found.row])
    worth = left * float(task.terms.unit[deal.give])
    if not 0.0 < worth < task.market.rulebook.liquidation.dust or deal.most < deal.whole:
        return found
    look = tried(deal, np.array([deal.lots]), pool, task.market, task.terms)
    helps, _ = judged(look, task, state)
    return Chosen(look, 0) if helps[0] else found


# --- steps ----------------------------------------------------------------------------------------


def step_of(chosen: Chosen, pool: Pool, state: State, turn: int, task: Task) -> Step:
    """Return the chosen deal as a frozen step."""
    look, k = chosen.tried, chosen.row
    deal = look.deal
    after = State(float(look.equity[k]), float(look.buffer[k]), float(look.health[k]))
    relief = after.buffer - state.buffer
    cost = Expected(*(float(part[k]) for part in look.cost))
    return Step(
        deal.kind, turn, MECHANISMS[task.terms.mechanism[deal.give]],
        fills(chosen, pool, task.market), int(look.lots[k]), cost, state, after,
        reason(task.policy, deal, task.terms, relief, chosen.cost),
    )  # fmt: skip


def fills(chosen: Chosen, pool: Pool, market: Market) -> tuple[Fill, ...]:
    """Return the fills of a deal, prices with half spread and impact in them."""
    look, k = chosen.tried, chosen.row
    deal, units = look.deal, float(look.units[chosen.row])
    slip = float(look.cost.half_spread[k] + look.cost.impact[k])
    if deal.kind == "swap":
        price = float(market.priced.price[deal.give]) - slip / units
        return (Fill(deal.give, -units, price, deal.take, float(look.cash[0, k])),)
    legs = [(deal.give, units, look.cash[0, k])]
    if deal.kind == "net":
        legs.append((deal.take, units * deal.ratio, look.cash[1, k]))
    each = slip / len(legs)
    return tuple(
        Fill(
            item, -float(np.sign(pool.quantity[item])) * part,
            price_with(item, float(np.sign(pool.quantity[item])) * part, each, market),
            paid_in(item, market), float(cash),
        )
        for item, part, cash in legs
    )  # fmt: skip


def price_with(item: int, held: float, slip: float, market: Market) -> float:
    """Return the price, quote units, at which closing `held` loses `slip` against the mark."""
    items, settle = market.items, paid_in(item, market)
    mark = float(items.mark[item])
    if items.futures_like[item]:
        each = float(items.scale[item] * market.priced.price[settle])
    else:
        row = item - market.frame.n_assets
        mark *= float(market.priced.options.discount[row])
        each = float(items.unit_value[item]) / mark if mark > 0.0 else np.nan
    pnl = np.array([-slip / (held * each)])
    kind = np.array([float(items.inverse[item])])
    return float(price_of_pnl(np.array([mark]), pnl, kind)[0])


# --- the end --------------------------------------------------------------------------------------


def ended(
    blank: Plan, task: Task, where: tuple[BookFrame, int], state: State, turn: int,
    steps: list[Step],
) -> Plan:  # fmt: skip
    """Return the plan with its outcome; takeover and ADL where the pool is still short (9.15)."""
    if state.health >= task.target:
        return replace(blank, steps=tuple(steps), outcome="restored")
    own, row = where
    pool = pool_at(own, row, task.market)
    if state.buffer >= 0.0 and not pool.bankrupt:
        return replace(blank, steps=tuple(steps), outcome="eased")
    frame = assess(own, task.market, threads=1)
    pays = shared_pays(own, row, frame.equity)
    taken = takeover.everything(pool, task.market, task.terms, pays)
    stuck = bool(((pool.quantity != 0.0) & task.terms.bad).any())
    bad_debt = max(0.0, float(taken.pnl.sum()))
    if stuck and (bad_debt > 0.0 or len(taken.item) == 0):
        return replace(blank, steps=tuple(steps), outcome="wait")
    after_book = takeover.book_after(taken, pool, task.market)
    end = state_of(assess(after_book, task.market, threads=1), row)
    share = takeover.fund_share(taken, task.market, task.terms)
    for kind, part in (("takeover", share), ("adl", 1.0 - share)):
        if part > 0.0:
            steps.append(
                Step(
                    kind, turn, "bankruptcy_price",
                    takeover.fills_of(taken, part, pool, task.market), 0,
                    takeover.discount_of(taken, part), state, end, why_taken(kind, part, bad_debt),
                )
            )  # fmt: skip
    outcome = "takeover" if share >= 1.0 else "adl"
    return replace(blank, steps=tuple(steps), outcome=outcome, bad_debt=bad_debt)


def shared_pays(own: BookFrame, row: int, equity: F64) -> float:
    """Return what the shared pool fills of a bucket's hole: spec 1.1's t before min(-E_i).

    A shared pool without a price is taken as good for the limit, as in the verdict (C46).
    """
    if row == 0:
        return 0.0
    remaining = max(0.0, float(own.draw_limit[row] - own.drawn[row]))
    return remaining if not np.isfinite(equity[0]) else min(remaining, max(0.0, float(equity[0])))


def why_taken(kind: str, share: float, bad_debt: float) -> str:
    """Return in words why the rest is taken over."""
    whole = "everything" if share >= 1.0 else f"{100.0 * share:.1f} % of everything"
    owes = f", {bad_debt:,.2f} short" if bad_debt > 0.0 else ""
    if kind == "takeover":
        return f"no step helps{owes}: the fund takes {whole} at bankruptcy prices"
    return f"past what the fund takes{owes}: {whole} goes to opposite accounts"
