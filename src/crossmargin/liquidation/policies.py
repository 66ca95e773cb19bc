"""In which order deals are tried: the policies of the rulebook.

In     deals, the pool, terms.
Out    the deals in order, and why each stands where it does.
Owns   the meaning of each policy; ties go to the lowest item.
Never  decides whether a deal helps: the guard of `plan` does.
Signs  none.
Spec   docs/spec/09-liquidation.md, 9.6
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from crossmargin.liquidation.deals import Deal
from crossmargin.liquidation.mechanisms import Terms

SIMPLE = (
    "volatile_first", "illiquid_first", "liquid_first", "lowest_haircut_first",
    "best_relief_per_cost",
)  # fmt: skip
POLICIES = (*SIMPLE, "optimal")

Key = Callable[[Terms, int], float]

KEYS: dict[str, Key] = {
    "volatile_first": lambda terms, i: -float(terms.sigma_daily[i]),
    "illiquid_first": lambda terms, i: float(terms.adv[i]),
    "liquid_first": lambda terms, i: -float(terms.adv[i]),
    "lowest_haircut_first": lambda terms, i: float(terms.haircut[i]),
}


def ordered(policy: str, deals: Sequence[Deal], terms: Terms) -> list[Deal]:
    """Return the deals in the order the policy tries them; opposite legs always come first."""
    nets = [deal for deal in deals if deal.kind == "net"]
    rest = [deal for deal in deals if deal.kind != "net"]
    key = KEYS.get(policy)
    if key is not None:
        rest.sort(key=lambda deal: (key(terms, market_of(deal, terms)), deal.give, deal.take))
    return nets + rest


def market_of(deal: Deal, terms: Terms) -> int:
    """Return the market a deal is ranked by: what is sold; where that is money, what is bought."""
    bought = deal.kind == "swap" and terms.sigma_daily[deal.give] == 0.0
    return deal.take if bought else deal.give


def reason(policy: str, deal: Deal, terms: Terms, relief: float, cost: float) -> str:
    """Return in words why the policy chose this deal."""
    if deal.kind == "net":
        return "opposite legs of one underlying close against each other"
    i = market_of(deal, terms)
    said = {
        "volatile_first": f"moves {100.0 * terms.sigma_daily[i]:.1f} % a day, most of what helps",
        "illiquid_first": f"trades {terms.adv[i]:,.0f} a day, the least of what helps",
        "liquid_first": f"trades {terms.adv[i]:,.0f} a day, the most of what helps",
        "lowest_haircut_first": f"haircut {100.0 * terms.haircut[i]:.1f} %, the lowest that helps",
    }
    if policy in said:
        return said[policy]
    each = f"{relief / cost:,.1f} for each unit of cost" if cost > 0.0 else "at no cost"
    best = " by the convex programme" if policy == "optimal" else ", the most of what helps"
    return f"relief {each}{best}"
