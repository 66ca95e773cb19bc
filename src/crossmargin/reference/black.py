"""Undiscounted Black-76 for one option, with its limits at T = 0 and vol = 0.

In     kind, forward, strike, annual volatility, years.
Out    price and derivatives per unit of the underlying, in quote units.
Owns   the closed form.
Never  discounts, guesses a volatility.
Signs  price >= 0; delta in [-1, 1].
Spec   docs/spec/02-valuation.md
"""

from __future__ import annotations

import math

SQRT2 = math.sqrt(2.0)


def cdf(x: float) -> float:
    return 0.5 * math.erfc(-x / SQRT2)


def pdf(x: float) -> float:
    return math.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)


def d1_d2(f: float, k: float, sigma: float, t: float) -> tuple[float, float]:
    """Infinite where nothing is left to happen; at the money there d1 = d2 = 0."""
    spread = sigma * math.sqrt(t)
    if spread <= 0.0:
        limit = 0.0 if f == k else math.copysign(math.inf, f - k)
        return limit, limit
    d1 = math.log(f / k) / spread + 0.5 * spread
    return d1, d1 - spread


def price(kind: str, f: float, k: float, sigma: float, t: float) -> float:
    d1, d2 = d1_d2(f, k, sigma, t)
    if kind == "call":
        return max(0.0, f * cdf(d1) - k * cdf(d2))
    return max(0.0, k * cdf(-d2) - f * cdf(-d1))


def delta(kind: str, f: float, k: float, sigma: float, t: float) -> float:
    d1, _ = d1_d2(f, k, sigma, t)
    return cdf(d1) if kind == "call" else -cdf(-d1)


def vega(f: float, k: float, sigma: float, t: float) -> float:
    d1, _ = d1_d2(f, k, sigma, t)
    return 0.0 if math.isinf(d1) else f * pdf(d1) * math.sqrt(t)


def gamma(f: float, k: float, sigma: float, t: float) -> float:
    d1, _ = d1_d2(f, k, sigma, t)
    spread = sigma * math.sqrt(t)
    return 0.0 if math.isinf(d1) or spread <= 0.0 else pdf(d1) / (f * spread)


def theta(f: float, k: float, sigma: float, t: float) -> float:
    """Change of the undiscounted price per year of time passing, <= 0; calls and puts alike."""
    d1, _ = d1_d2(f, k, sigma, t)
    return 0.0 if math.isinf(d1) or t <= 0.0 else -f * pdf(d1) * sigma / (2.0 * math.sqrt(t))
