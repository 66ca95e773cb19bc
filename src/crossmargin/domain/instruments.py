"""Contract terms: what a perpetual, future, option or spot pair pays, and in which asset.

In     names and numbers from a market file or from Python.
Out    frozen `Instrument` values that cannot be built wrong.
Owns   which terms go together (an inverse settles in its base, an option has a strike ...).
Never  knows a price or what a thing is worth; reads a file.
Signs  a position's quantity is signed (+ long); contract_size > 0.
Spec   docs/spec/01-what-exists.md, docs/spec/02-valuation.md
"""

from __future__ import annotations

from enum import IntEnum, StrEnum

import msgspec

from crossmargin.base.errors import InputInvalid


class Kind(StrEnum):
    SPOT = "spot"
    PERPETUAL = "perpetual"
    FUTURE = "future"
    CALL = "call"
    PUT = "put"


class Payoff(StrEnum):
    """linear settles in quote, inverse in base, quanto in `settle` at a fixed rate (spec 2.1)."""

    LINEAR = "linear"
    INVERSE = "inverse"
    QUANTO = "quanto"


class Style(StrEnum):
    """premium: paid at trade, value is equity. futures: unsettled P&L, like a future (spec 2.2)."""

    PREMIUM = "premium"
    FUTURES = "futures"


class KindCode(IntEnum):
    """The same kinds as array codes; assets share the item space and carry ASSET."""

    ASSET = 0
    SPOT = 1
    PERPETUAL = 2
    FUTURE = 3
    CALL = 4
    PUT = 5


class PayoffCode(IntEnum):
    LINEAR = 0
    INVERSE = 1
    QUANTO = 2


class Instrument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Terms of one instrument.

    contract_size  underlying units a contract (linear, quanto, options); quote units a contract
                   (inverse futures: 100 = 100 USD a contract); inverse options: underlying units
    quanto_rate    settle-asset units per unit of quote move, quanto only
    expiry_ns      settlement stamp, UTC nanoseconds; 0 for perpetual and spot
    strike         quote units, options only
    """

    instrument: str
    kind: Kind
    payoff: Payoff
    underlying: str
    quote: str
    settle: str
    contract_size: float = 1.0
    style: Style = Style.PREMIUM
    expiry_ns: int = 0
    strike: float = 0.0
    quanto_rate: float = 0.0

    def __post_init__(self) -> None:
        def refuse(key: str, found: object, allowed: str, remedy: str) -> None:
            raise InputInvalid(f"instrument.{self.instrument}.{key}", found, allowed, remedy)

        if not 0.0 < self.contract_size < 1e18:
            refuse("contract_size", self.contract_size, "must be > 0", "state units a contract")
        dated = self.kind in (Kind.FUTURE, Kind.CALL, Kind.PUT)
        if dated and self.expiry_ns <= 0:
            refuse("expiry", self.expiry_ns, "must be a stamp after 1970", "give expiry as UTC")
        if self.kind in (Kind.CALL, Kind.PUT) and not 0.0 < self.strike < 1e18:
            refuse("strike", self.strike, "must be > 0", "give strike in quote units")
        if self.payoff is Payoff.LINEAR and self.settle != self.quote:
            refuse("settle", self.settle, f"must be the quote ({self.quote})", "or use quanto")
        if self.payoff is Payoff.INVERSE and self.settle != self.underlying:
            refuse("settle", self.settle, f"must be the base ({self.underlying})", "fix settle")
        if self.payoff is Payoff.QUANTO and not 0.0 < self.quanto_rate < 1e18:
            refuse("quanto_rate", self.quanto_rate, "must be > 0", "settle units per quote unit")
        if self.payoff is Payoff.QUANTO and self.kind in (Kind.CALL, Kind.PUT):
            refuse("payoff", "quanto", "must be linear or inverse for options", "fix payoff")
        if self.style is Style.FUTURES and self.kind not in (Kind.CALL, Kind.PUT):
            refuse("style", "futures", "is for options only", "leave style out")
        if self.style is Style.FUTURES and self.payoff is Payoff.INVERSE:
            refuse("style", "futures", "must be premium for inverse options", "fix style")
