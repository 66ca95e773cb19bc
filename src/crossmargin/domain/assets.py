"""What can be held: assets, their classes, and the risk factors that move them.

In     names and numbers from a market file or from Python.
Out    frozen `Asset` values that cannot be built wrong.
Owns   the mapping asset -> risk factors: price = scale x product of factor level ^ exponent.
Never  knows a price or what a thing is worth; reads a file.
Signs  exponents are > 0; a debt is a negative balance, not another asset.
Spec   docs/spec/01-what-exists.md
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from crossmargin.base.errors import InputInvalid


class AssetClass(StrEnum):
    """Every kind of asset a pool may hold (spec 1)."""

    FIAT = "fiat"
    STABLECOIN = "stablecoin"
    BLUE_CHIP = "blue_chip"
    ALTCOIN = "altcoin"
    YIELD_BEARING = "yield_bearing"
    SYNTHETIC = "synthetic"
    LP_SHARE = "lp_share"
    BRIDGED = "bridged"
    CLAIM = "claim"


class FactorKind(StrEnum):
    """What a factor's level means; pegs and bases move by price steps only (spec 4.3)."""

    SPOT = "spot"
    PEG = "peg"
    BASIS = "basis"
    BRIDGE = "bridge"


class Factor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A series that can move. `risk_class` names the rulebook row that says by how much."""

    factor: str
    kind: FactorKind
    risk_class: str


class Load(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One factor of an asset: a level moved by (1 + m) moves the price by (1 + m)^exponent."""

    factor: str
    exponent: float

    def __post_init__(self) -> None:
        if not 0.0 < self.exponent <= 4.0:
            raise InputInvalid(
                f"load.{self.factor}.exponent",
                self.exponent,
                "must lie in (0, 4]",
                "state the power",
            )


class Asset(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One asset: class, smallest unit, and its factors (spec 1, 2.4).

    decimals   the smallest unit is 10^-decimals of a coin, 0 to 18
    loads      factors with exponents; empty only for the numeraire itself (price 1 by definition)
    scale      constant of the price: exchange rate of a yield-bearing asset, 2 sqrt(x y) / supply
               of a constant-product share, share of a claim; > 0
    """

    asset: str
    asset_class: AssetClass
    decimals: int
    loads: tuple[Load, ...]
    scale: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.decimals <= 18:
            raise InputInvalid(
                f"asset.{self.asset}.decimals",
                self.decimals,
                "must lie in 0..18",
                "use coin decimals",
            )
        if not 0.0 < self.scale < 1e30:
            raise InputInvalid(
                f"asset.{self.asset}.scale", self.scale, "must be > 0 and finite", "state the rate"
            )
