"""One account from JSON text to a verdict that explains itself.

python examples/one_account.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import crossmargin as cm

BOOK = """
{"accounts": [{
  "account": "alice",
  "method": "portfolio",
  "balances": {"ETH": "10", "USDC": "-18000"},
  "positions": [{"instrument": "ETH-PERP", "quantity": "-3", "entry_price": "3100"}]
}]}
"""


def main() -> cm.Report:
    """Load the account, assess it in the demo market, and ask what a trader asks."""
    _, market = cm.demo()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "book.json"
        path.write_text(BOOK)
        report = cm.assess(path, market)

    row = report.to_polars().row(0, named=True)
    print(f"{row['account']}: {row['verdict']}, health {row['health']:.2f}")
    print(f"equity {row['equity']:,.2f}, MM {row['mm']:,.2f}, IM {row['im']:,.2f} USD")
    print(f"binding term {row['binding_term']}, worst scenario {row['worst_scenario']}\n")
    print(report.explain("alice").buffer_mm.text())

    free = report.free_to_withdraw("alice", "ETH") / 10**18  # smallest units: 18 decimals
    print(f"\nfree to withdraw: {free:.4f} ETH")
    print(f"largest further short: {report.largest_order('alice', 'ETH-PERP', -1):,.2f} contracts")
    for side, level in zip(
        ("below", "above"), report.liquidation_prices("alice", "ETH/USD"), strict=True
    ):
        print(f"liquidated {side}: {'never' if level is None else f'{level:,.2f} USD an ETH'}")

    before, after = report.what_if("alice", trades=[cm.Trade("ETH-PERP", -5.0)])
    print(f"health {before.frame.health[0]:.2f}; with 5 more ETH sold short, "
          f"{after.frame.health[0]:.2f}")  # fmt: skip
    return report


if __name__ == "__main__":
    main()
