"""10 October 2025 on Hyperliquid, deleveraged again by other policies; Percolator's vectors.

In     the data folder.
Out    candidates, an AdlReport of what each policy would have done, vector cases.
Owns   what the file can say, what has to be assumed for it, the published figures beside it.
Never  fills in what the file does not hold: coins, hedges and later gains of an account.
Signs  gains and losses in USD, > 0; lots are cents; regret < 0: better off closed.
Spec   docs/real-data.md section 10, docs/spec/09-waterfall.md (9.90)

A lot is one cent of unrealised gain. That is the accounting of the published study (winners lose
gains, never collateral), and the only one the file allows: it states of each account what was
closed and what it had gained, not what else it held.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from crossmargin.adapters.real_history import real_history
from crossmargin.base.errors import FileUnreadable
from crossmargin.base.fixed import scale_down
from crossmargin.domain.accounts import SHARED
from crossmargin.frames.history import HOUR_NS
from crossmargin.liquidation.adl import Candidates, deleverage

BY_USER = "hyperliquid_adl_20251010_by_user.parquet"
BY_COIN = "hyperliquid_adl_20251010_by_coin.csv.gz"
# The venue gave 50 times at most; the file's reconstruction runs to 10^7 where equity is near nil.
LEVERAGE_MAX = 50.0
# The event ran from 21:16 to 21:27 UTC; the first full hour after it.
AFTER = "2025-10-10T22:00:00+00:00"
HOURS_LATER = (0, 1, 24)
ROUNDS = 16
CENTS = 100
# A cent of rounding is a large share of an account that gained a few.
DUST_USD = 100
POLICIES = ("queue", "queue_whole", "pro_rata", "risk_aware_pro_rata")

# arXiv 2602.15182, tables 1 and 2, and section 5.1; USD.
NEEDED, DEFICIT = 15_100_000, 100_100_000
# ConejoCapital/HyperMultiAssetedADL at 79bad0fae2: 302 accounts below zero.
SHORTFALL = 23_200_000
PUBLISHED: dict[str, float] = {
    "loss to be covered, 16 rounds": 15.1e6,
    "deficit of losers, 16 rounds": 100.1e6,
    "gains taken, production": 60.1e6,
    "overshoot, production": 45_028_665.72,
    "overshoot, production, markouts up to": 51.7e6,
    "tracking error, integer pro rata": 3_020_120.65,
    "tracking error, vector mirror descent": 1_793_022.03,
    "tracking error, min-max programme (hindsight)": 106_205.81,
}
LOSSES = {"published need": NEEDED, "equity shortfall": SHORTFALL, "published deficit": DEFICIT}


@dataclass(frozen=True, slots=True)
class Line:
    """One policy over one loss, in one round or several equal ones; USD.

    closed      value of positions closed;  taken: gains taken;  overshoot: taken beyond the loss
    accounts    touched;  worst: largest share of a gain of 100 or more, all rounds
    """

    loss: str
    loss_usd: int
    rounds: int
    policy: str
    closed_usd: float
    taken_usd: float
    overshoot_usd: float
    missing_usd: float
    accounts: int
    worst_frac: float


@dataclass(frozen=True, slots=True)
class AdlReport:
    """measured: of the file;  lines: of the policies;  published: of the study;  notes: why not."""

    measured: dict[str, float]
    lines: tuple[Line, ...]
    published: dict[str, float]
    notes: tuple[str, ...]


NOTES = (
    "A policy takes gains, as in the study; the positions beside a gain taken are those closed at "
    "their entry price: the least that must be closed. At the price the venue closed at, what was "
    "needed is 0.72 % of the 2.10 bn it closed, and covering it so takes all of them.",
    "Capacity is what the venue closed of an account; what it held beside that is not in the file.",
    "The 45.0M to 51.7M are a matter of how much was taken over 16 rounds (60.1M for 15.1M), not "
    "of the order of a queue: a policy that is told the loss and cuts positions is over by less "
    "than a lot, whatever its order. Only one that closes whole positions can be compared: "
    "queue_whole.",
    "The losses of the 16 rounds are not in the file. Here they are equal, and every account can "
    "be asked in each of them; so the figure for 16 rounds is of the same kind, not the same.",
    "The queue ranks gain over entry value (of a short) x leverage of the account. Accounts whose "
    "reconstructed leverage is above 50 or whose equity is below zero are set aside.",
    "minimum_regret and hedge_aware are not shown: the file has no coin and no other leg of an "
    "account. Regret of what the venue did is by coin, as if all that was closed were shorts, "
    "where the data folder has a later price.",
)


def adl_report(shared: Path) -> AdlReport:
    """Return what each policy would have closed for the losses that were published."""
    rows = pl.read_parquet(_found(shared / "data" / "liquidations" / BY_USER))
    them = adl_candidates(rows)
    lines = [
        compared(them, loss, usd, rounds, policy)
        for loss, usd in LOSSES.items()
        for rounds in ((1, ROUNDS) if usd == NEEDED else (1,))
        for policy in POLICIES
    ]
    return AdlReport(_measured(shared, rows, them), tuple(lines), PUBLISHED, NOTES)


def adl_candidates(rows: pl.DataFrame) -> Candidates:
    """Return the accounts that were deleveraged at a gain, a lot a cent of it."""
    won = rows.filter(pl.col("closed_pnl") >= 1.0 / CENTS).sort("user")
    gain, value = won["closed_pnl"].to_numpy(), won["adl_notional"].to_numpy()
    leverage, lots = won["leverage_realtime"].to_numpy(), np.floor(gain * CENTS)
    return Candidates(
        tuple((user, SHARED) for user in won["user"]),
        tuple(int(n) for n in lots),
        gain / (value + gain),
        np.where(leverage <= LEVERAGE_MAX, leverage, np.nan),
        won["account_value_realtime"].to_numpy(),
        value / lots,
        np.full(len(won), np.nan),
        (0,) * len(won),
    )


def compared(them: Candidates, loss: str, usd: int, rounds: int, policy: str) -> Line:
    """Return what a policy closes for a loss that comes in equal rounds."""
    taken = [0] * len(them.lots)
    closed = 0.0
    overshoot = missing = 0
    for k in range(rounds):
        due = scale_down(usd * CENTS, k + 1, rounds) - scale_down(usd * CENTS, k, rounds)
        left = tuple(n - t for n, t in zip(them.lots, taken, strict=True))
        got = deleverage(policy, replace(them, lots=left), due, (1, 1))
        taken = [t + n for t, n in zip(taken, got.lots, strict=True)]
        closed += got.closed_usd
        overshoot += got.overshoot
        missing += got.missing
    worst = max(
        (t / n for t, n in zip(taken, them.lots, strict=True) if n >= DUST_USD * CENTS),
        default=0.0,
    )
    return Line(
        loss, usd, rounds, policy, closed, sum(taken) / CENTS, overshoot / CENTS,
        missing / CENTS, sum(1 for t in taken if t), worst,
    )  # fmt: skip


def _measured(shared: Path, rows: pl.DataFrame, them: Candidates) -> dict[str, float]:
    """Return what the files say of the day, and what those closed would have gained since."""
    caps = them.capacity()
    out = {
        "accounts": float(len(rows)),
        "closed_usd": float(rows["adl_notional"].sum()),
        "gains_usd": float(rows["closed_pnl"].sum()),
        "candidates": float(sum(1 for n in caps if n)),
        "candidates_gains_usd": sum(caps) / CENTS,
        "candidates_closed_usd": float(
            sum(n * v for n, v in zip(caps, them.lot_usd.tolist(), strict=True))
        ),
        "set_aside": float(sum(1 for n, c in zip(them.lots, caps, strict=True) if n and not c)),
    }
    coins = pl.read_csv(_found(shared / "data" / "liquidations" / BY_COIN))
    after = int(datetime.fromisoformat(AFTER).timestamp()) * 10**9
    history = real_history(shared, after + max(HOURS_LATER) * HOUR_NS, 3)
    column = {factor.removesuffix("/USD"): k for k, factor in enumerate(history.factors)}
    for hours in HOURS_LATER:
        row = int(np.searchsorted(history.ts_ns, after + hours * HOUR_NS))
        known = regret = 0.0
        for coin, volume, price, value in coins.select(
            "coin", "net_volume", "avg_price", "net_notional_usd"
        ).iter_rows():
            later = float(history.close[row, column[coin]]) if coin in column else np.nan
            if np.isfinite(later):
                known += value
                regret += volume * (price - later)
        out[f"regret_after_{hours}h_usd"] = regret
        out[f"regret_after_{hours}h_of_usd"] = known
    return out


def percolator_cases(shared: Path, name: str) -> list[dict[str, Any]]:
    """Return the published cases of Percolator: `waterfall` or `user_materialise`."""
    path = _found(shared / "vectors" / "percolator" / f"{name}.json")
    cases: list[dict[str, Any]] = json.loads(path.read_text())["cases"]
    return cases


def _found(path: Path) -> Path:
    if not path.exists():
        raise FileUnreadable(str(path), "nothing", "must be a file of the data folder", "")
    return path
