"""A bad day lived by an engine: real bars become quotes, quotes prices, prices forced sales.

In     a BarFrame of the day, a rulebook, how many accounts, a seed.
Out    a `Lived`: a row for every tick, a row for every forced step, and what is left at the end.
Owns   how a day is played; how what was sold moves the prices that follow.
Never  asks the rulebook by name whether something protects: rules without `oracle.sources` are
       given the first source's price as it is, because that is what such rules say (spec 8.1).
Signs  prices > 0; what is sold >= 0, numeraire; losses >= 0.
Spec   docs/generator.md, "A day lived again"
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from crossmargin.base.arrays import F64, I64
from crossmargin.base.errors import StoreFailed
from crossmargin.domain.book import CONTRACT_DECIMALS, INSURANCE, Mark, Print
from crossmargin.domain.rulebook import Rulebook
from crossmargin.engine import commands as c
from crossmargin.engine.draft import is_user
from crossmargin.engine.liquidator import Liquidator
from crossmargin.engine.ports import Store
from crossmargin.engine.replies import Accepted
from crossmargin.engine.runtime import Engine
from crossmargin.frames.bars import BarFrame
from crossmargin.frames.ledgered import book_frame
from crossmargin.ledger import events as e
from crossmargin.ledger import journal
from crossmargin.liquidation.mechanisms import selling_terms
from crossmargin.methods.registry import assess
from crossmargin.oracle.fuse import fuse
from crossmargin.oracle.prints import carried, prints_of
from crossmargin.oracle.state import OracleState, started
from crossmargin.simulation.crash_books import NUMERAIRE, crash_market, healths
from crossmargin.simulation.crash_opening import SCALE, TIER, OpeningTerms, opening
from crossmargin.simulation.crash_quotes import crash_universe, quotes_between, repeated_prints
from crossmargin.simulation.faults import Crash, MemoryStore
from crossmargin.simulation.paths import Clock, Order, stamp_table, tick_table

HEALTHY = 1e9  # of a pool that is charged nothing
HEALTH_BANDS = (0.0, 1.0, 1.1, 1.25, 1.5, 2.0, math.inf)
"""Edges; what has no health, because a price is missing, is counted apart."""


@dataclass(frozen=True, slots=True)
class Setup:
    """How a day is played.

    lasting   share of what selling moves that stays in the price; 0: sales move nothing
    half_life_s   after which half of what was sold no longer presses
    fund      numeraire in the insurance fund of tier A at the start
    method    every pool is charged by it; "": by the one it was drawn with
    store     where the journal is kept; None: in memory
    spoiled   changes what sources say, prices and stamps (T, K), before anybody hears it
    every     ticks between two looks at all healths
    """

    rules: Rulebook
    n_accounts: int
    seed: int
    clock: Clock
    order: Order = Order.LOW_FIRST
    lasting: float = 2.0 / 3.0
    half_life_s: float = 1_800.0
    fund: int = 1_000_000
    method: str = ""
    store: Store | None = None
    spoiled: Callable[[F64, I64], tuple[F64, I64]] | None = None
    every: int = 15


@dataclass(frozen=True, slots=True)
class Sale:
    """One forced step that was recorded."""

    at_ns: int
    account: str
    verdict: str
    kind: str
    item: str
    usd: float


@dataclass(slots=True)
class Lived:
    """What a day did. Columns have a value a tick (T,), those of healths one a look (L,).

    raw, fused, stable   (T, F) first source's price, accepted price, slow price; NaN for none
    under      pools under water after the turn; sold, shared: numeraire of that tick
    fund       of the insurance fund; health (L, 7) unpriced pools, then by band of `HEALTH_BANDS`
    unsold     why nothing was done with a pool -> how often, in turns
    charge     numeraire: all the rules take off equity at MM, over all pools, at the start
    """

    factors: tuple[str, ...]
    at_ns: I64
    raw: F64
    fused: F64
    stable: F64
    status: list[list[str]]
    under: I64
    sold: F64
    shared: F64
    fund: F64
    looked_ns: list[int] = field(default_factory=list)
    health: list[list[int]] = field(default_factory=list)
    sales: list[Sale] = field(default_factory=list)
    unsold: dict[str, int] = field(default_factory=dict)
    charge: float = 0.0
    equity_first: float = 0.0
    equity_last: float = 0.0
    bankrupt_usd: float = 0.0
    bankrupt: int = 0
    deaths: int = 0


FORCED = (e.LiquidationFilled, e.Deleveraged, e.InsurancePaid, e.LossSocialised)
Watch = Callable[[int, int], None]
Done = TypeVar("Done")


def live(bars: BarFrame, setup: Setup, watch: Watch = lambda done, total: None) -> Lived:
    """Live through the clock's ticks of a day; every forced sale moves what comes after."""
    day = Day(bars, setup)
    for tick in range(setup.clock.n_ticks):
        day.tick(tick)
        watch(tick + 1, setup.clock.n_ticks)
    return day.ended()


class _Pressure:
    """What was sold of each factor and presses still, numeraire, + sold, - bought."""

    def __init__(self, setup: Setup, factors: Sequence[str]) -> None:
        self.lasting = setup.lasting
        self.kept = 0.5 ** (setup.clock.step_ns / 1e9 / setup.half_life_s)
        self.sold = np.zeros(len(factors))
        self.row = {name: k for k, name in enumerate(factors)}
        self.scale = self.sigma = np.zeros(len(factors))
        self.exponent = self.adv = np.ones(len(factors))

    def knows(self, engine: Engine) -> None:
        """Take each factor's depth from the market: that of the first asset that hangs on it."""
        market = engine.setting(engine.now()).market
        assert market is not None
        terms, frame = selling_terms(market), market.frame
        n = len(self.sold)
        self.scale, self.sigma, self.adv = np.zeros(n), np.zeros(n), np.ones(n)
        self.exponent = np.ones(n)
        for asset in range(frame.n_assets - 1, -1, -1):
            loads = frame.assets.load_factor[
                frame.assets.load_starts[asset] : frame.assets.load_starts[asset + 1]
            ]
            if len(loads):
                k = self.row[frame.factors.names[int(loads[-1])]]
                self.scale[k], self.sigma[k] = terms.scale[asset], terms.sigma_daily[asset]
                self.exponent[k], self.adv[k] = terms.exponent[asset], terms.adv[asset]

    def press(self, factor: str, usd: float) -> None:
        """Remember a sale (+) or a purchase (-)."""
        self.sold[self.row[factor]] += usd

    def moved(self) -> F64:
        """(F,) log move of each factor now: - lasting Y sigma (sold / ADV)^delta; then let go."""
        with np.errstate(invalid="ignore"):
            size = self.scale * self.sigma * (np.abs(self.sold) / self.adv) ** self.exponent
        self.sold *= self.kept
        return -self.lasting * np.sign(self.sold) * np.nan_to_num(size)


class Day:
    """An engine, its oracle and its liquidator on the way through a day."""

    def __init__(self, bars: BarFrame, setup: Setup) -> None:
        clock, rules = setup.clock, setup.rules
        self.bars, self.setup = bars, setup
        rng = np.random.default_rng(setup.seed)
        self.price = tick_table(bars, clock, rng, setup.order)
        self.stamp = repeated_prints(bars, self.price, stamp_table(bars, clock), clock.at_ns)
        self.factors = tuple(dict.fromkeys(bars.factors))
        self.column_of = np.array([self.factors.index(f) for f in bars.factors], np.int64)
        self.first = np.array([bars.factors.index(f) for f in self.factors], np.int64)
        self.state: OracleState | None = None
        if rules.oracle.sources is not None:
            self.state = started(crash_universe(bars, rules.oracle))
        if setup.spoiled is not None:
            self.price, self.stamp = setup.spoiled(self.price, self.stamp)
        self.now_ns = clock.start_ns
        n, f = clock.n_ticks, len(self.factors)
        raw, fused, stable = np.full((3, n, f), np.nan)
        sold, shared, fund = np.zeros((3, n))
        self.out = Lived(self.factors, clock.at_ns, raw, fused, stable, [],
                         np.zeros(n, np.int64), sold, shared, fund)  # fmt: skip
        self.store = setup.store or MemoryStore()
        self.engine = Engine.open(self.store, lambda: self.now_ns)
        tables = crash_market(bars, clock.start_ns, "real bars")
        terms = OpeningTerms(setup.seed, setup.fund, setup.method)
        told = opening(tables, rules, healths(rng, setup.n_accounts), terms)
        for reply in self._done(lambda: self.engine.submit(told)):
            assert isinstance(reply, Accepted), reply
        self.seen = self.engine.seq
        self.listed = set(tables.factors["factor"].to_list())
        self.perpetuals = set(tables.instruments["instrument"].to_list())
        self.liquidator, self.pressure = Liquidator(), _Pressure(setup, self.factors)

    def tick(self, tick: int) -> None:
        """One tick: quotes under the pressure of earlier sales, prices, a turn of the loop."""
        out, at_ns = self.out, int(self.out.at_ns[tick])
        self.now_ns = at_ns
        self.price[tick] *= np.exp(self.pressure.moved())[self.column_of]
        out.raw[tick] = self.price[tick, self.first]
        told = list(self._told(tick, at_ns))
        for reply in self._done(lambda: self.engine.submit(told)):
            assert isinstance(reply, Accepted), reply
        if tick == 0:
            self.pressure.knows(self.engine)
            out.equity_first = self._look(at_ns)
        turn = self._done(lambda: self.liquidator.turn(self.engine))
        verdicts = {deed.proposal.owner[0]: deed.proposal.verdict for deed in turn.deeds}
        for deed in turn.deeds:
            if not deed.is_done:
                why = deed.whys[-1] if deed.whys else deed.proposal.outcome
                reason = "waits for its next round" if "next round comes" in why else why
                out.unsold[reason] = out.unsold.get(reason, 0) + 1
        self._read(tick, verdicts)
        self._after(tick)
        if tick and tick % self.setup.every == 0:
            self._look(at_ns)

    def _done(self, work: Callable[[], Done]) -> Done:
        """Do it; where the process dies, open the store again and do it again."""
        while True:
            try:
                return work()
            except (Crash, StoreFailed):
                self.out.deaths += 1
                before = self.store.last()
                self.engine = Engine.open(self.store, lambda: self.now_ns)
                self.liquidator = Liquidator()
                assert (self.engine.seq, self.engine.chain) == before, "what was kept is there"

    def ended(self) -> Lived:
        """Return what was lived, with the healths of the end."""
        self.out.equity_last = self._look(self.now_ns, last=True)
        return self.out

    def _told(self, tick: int, at_ns: int) -> Iterator[c.AnyCommand]:
        groups: list[tuple[int, dict[str, Print]]]
        if self.state is None:
            groups = self._plain(tick, at_ns)
        else:
            quotes = quotes_between(
                self.bars, self.state.universe, self.price, self.stamp, tick - 1, tick
            )
            self.state, fused = fuse(self.state, quotes, at_ns)
            groups = prints_of(fused, self.setup.rules.oracle.stale_s)
        for k, (stamped, prints) in enumerate(groups):
            prints = {name: x for name, x in prints.items() if name in self.listed}
            marks = {
                f"{name.partition('/')[0]}-PERP": Mark(x.level, status=x.status)
                for name, x in prints.items()
                if f"{name.partition('/')[0]}-PERP" in self.perpetuals
            }
            if prints:
                yield c.AcceptPrices(
                    key=f"p{tick}-{k}", issued_ns=at_ns, stamped_ns=stamped, prints=prints,
                    marks=marks,
                )  # fmt: skip

    def _plain(self, tick: int, at_ns: int) -> list[tuple[int, dict[str, Print]]]:
        """The first source's price as it is, for rules that fuse nothing."""
        found: dict[int, dict[str, Print]] = {}
        prints = self.engine.book.head.prints
        oldest = at_ns - int(self.setup.rules.oracle.stale_s * 1e9)
        for k, name in zip(self.first.tolist(), self.factors, strict=True):
            level, stamp = float(self.price[tick, k]), int(self.stamp[tick, k])
            if not level > 0.0 or stamp < oldest:
                continue
            slow = prints[name][0].stable_price if name in prints else None
            print_ = Print(level, 0.0, carried(slow or level, level), "live")
            found.setdefault(stamp, {})[name] = print_
        return sorted(found.items())

    def _read(self, tick: int, verdicts: dict[str, str]) -> None:
        """Read what was recorded since the last look: a turn that died is in the journal too."""
        for records in self.store.read(self.seen):
            for record in records:
                self.seen = record.seq
                for event in journal.decode(record.body, record.seq).events:
                    if type(event) in FORCED:
                        self._note(event, tick, verdicts)

    def _note(self, event: e.AnyEvent, tick: int, verdicts: dict[str, str]) -> None:
        """Remember a step that was recorded, and press on the price by what was sold."""
        out = self.out
        if isinstance(event, e.LiquidationFilled):
            coin = event.item.rpartition("-")[0]
            own = (event.account, event.pool)
            size = sum(m.contracts for m in event.moves if (m.account, m.pool) == own)
            units = size / 10**CONTRACT_DECIMALS or sum(
                p.amount for p in event.postings if (p.account, p.pool, p.asset) == (*own, coin)
            ) / SCALE  # fmt: skip
            usd, account, item = abs(units) * float(event.price), event.account, event.item
            kind = "sold" if units < 0.0 else "bought back"
            out.sold[tick] += usd
            self.pressure.press(self._factor_of(coin), usd if units < 0.0 else -usd)
        elif isinstance(event, e.Deleveraged):
            size = max(abs(move.contracts) for move in event.moves)
            usd, item = size / 10**CONTRACT_DECIMALS * float(event.price), event.instrument
            kind, account = "deleveraged", event.moves[0].account
        elif isinstance(event, e.InsurancePaid | e.LossSocialised):
            paid = next(p for p in event.postings if p.amount > 0)
            usd, account = paid.amount / SCALE * self._price_of(paid.asset), paid.account
            kind, item = "insurance paid", paid.asset
            if isinstance(event, e.LossSocialised):
                kind = "shared"
                out.shared[tick] += usd
        else:
            return
        verdict = verdicts.get(account, "-")
        out.sales.append(Sale(self.now_ns, account, verdict, kind, item, usd))

    def _factor_of(self, asset: str) -> str:
        """Return the last factor of a coin: what its own market moves."""
        return next(f for f in self.factors if f.partition("/")[0] == asset)

    def _price_of(self, asset: str) -> float:
        market = self.engine.setting(self.engine.now()).market
        assert market is not None
        return float(market.priced.price[market.frame.assets.names.index(asset)])

    def _after(self, tick: int) -> None:
        out, book = self.out, self.engine.book
        prints = book.head.prints
        told = [prints.get(name) for name in self.factors]
        out.fused[tick] = [np.nan if x is None else x[0].level for x in told]
        out.stable[tick] = [np.nan if x is None else x[0].stable_price for x in told]
        out.status.append(["missing" if x is None else x[0].status for x in told])
        out.under[tick] = len(self.liquidator.under(self.engine))
        fund = book.accounts.get(INSURANCE + TIER)
        held = fund.pools["shared"].balances.get(NUMERAIRE, 0) if fund is not None else 0
        out.fund[tick] = held / SCALE

    def _look(self, at_ns: int, last: bool = False) -> float:
        """Assess every account; return the sum of their equities (those that are priced)."""
        equity, charge = assessed(self.engine)
        known = np.isfinite(equity)
        health = np.clip(np.divide(
            equity, charge, out=np.full(len(equity), HEALTHY), where=known & (charge > 0.0)
        ), 0.0, HEALTHY)  # fmt: skip
        self.out.looked_ns.append(at_ns)
        counted = np.histogram(health[known], bins=np.array(HEALTH_BANDS))[0]
        self.out.health.append([int((~known).sum()), *counted.tolist()])
        self.out.charge = self.out.charge or float(charge[known].sum())
        if last:
            gone = equity < 0.0
            self.out.bankrupt = int(gone.sum())
            self.out.bankrupt_usd = float(np.abs(equity[gone]).sum())
        return float(equity[np.isfinite(equity)].sum())


def assessed(engine: Engine) -> tuple[F64, F64]:
    """Return (equity, charge at MM) of every pool of a user, NaN where unpriced."""
    book, setting = engine.book, engine.setting(engine.now())
    assert setting.market is not None
    assert setting.items is not None
    accounts = [(name, a) for name, a in book.accounts.items() if is_user(name) and a.pools]
    frame = assess(book_frame(accounts, book, setting.items), setting.market)
    return frame.equity, frame.charge_mm
