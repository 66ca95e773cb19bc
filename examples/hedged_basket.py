"""A hedged basket under every method: what netting is worth, and to whom it is given.

python examples/hedged_basket.py [PICTURE.png]
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import crossmargin as cm


def basket() -> cm.Account:
    """Coins held against dollars owed, hedged by perpetuals of slightly smaller size."""
    return cm.Account(
        "basket",
        balances={"BTC": "2", "ETH": "40", "SOL": "600", "USDC": "-250000"},
        positions=(
            cm.Position("BTC-PERP", "-1.8", entry_price="91000"),
            cm.Position("ETH-PERP", "-36", entry_price="3050"),
            cm.Position("SOL-PERP", "-540", entry_price="128"),
        ),
    )


def main(arguments: Sequence[str] = ()) -> dict[str, cm.Report]:
    """Assess the basket under every method; draw the comparison where a file is named."""
    _, source = cm.demo()
    market = cm.prepare(source)  # once: every further book shares its scenarios
    reports = cm.assess(basket(), market).compare()

    print(f"{'method':<18}{'equity':>12}{'MM':>12}{'IM':>12}{'buffer IM':>12}  verdict")
    for method, report in reports.items():
        row = report.to_polars().row(0, named=True)
        numbers = "".join(f"{row[c]:>12,.0f}" for c in ("equity", "mm", "im", "buffer_im"))
        print(f"{method:<18}{numbers}  {row['verdict']}")

    # The hedge is worth what the requirement rises by when one of its legs is gone.
    why = reports["portfolio"].explain("basket", leave_one_out=True)
    print("\nportfolio, MM without one holding, less MM:")
    for holding, change in why.leave_one_out.items():
        print(f"  {holding:<10}{change:>12,.0f}")

    if arguments:
        from crossmargin.apps.efficiency import comparison
        from crossmargin.apps.pictures.answers import compare_values
        from crossmargin.apps.pictures.compare import draw_compare
        from crossmargin.apps.pictures.paper import save

        report = reports["portfolio"]
        save(draw_compare(*compare_values(report, comparison(reports))), Path(arguments[0]))
    return reports


if __name__ == "__main__":
    main(sys.argv[1:])
