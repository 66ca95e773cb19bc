"""Commands built wrong in Python: one InputInvalid, before anything of the call happens."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from crossmargin.base.errors import InputInvalid
from crossmargin.domain.book import OrderState, Print
from crossmargin.engine import commands as c
from crossmargin.engine.queue import CommandQueue
from crossmargin.engine.runtime import Engine
from crossmargin.ledger.events import PoolTerms
from engine.arranged import calm
from engine.small import CT, T0, Side, Venue, account, holding, order, trade


def pay(**fields: Any) -> c.Deposit:
    return c.Deposit(**{"key": "a", "issued_ns": T0, "account": "ann", "asset": "USD",
                        "amount": 1, **fields})  # fmt: skip


WRONG = [
    # id, command, what is said of it
    ("float", pay(amount=2.0), "amount"),
    ("half", pay(amount=1.5), "amount"),
    ("bool", pay(amount=True), "amount"),
    ("text", pay(amount="7"), "amount"),
    ("nothing", pay(amount=None), "amount"),
    ("numpy", pay(amount=np.int64(5)), "int64"),
    ("nan", pay(amount=float("nan")), "amount"),
    ("stamp", pay(issued_ns=1.76e18), "issued_ns"),
    ("key", pay(key=5), "key"),
    ("account", pay(account=None), "account"),
    ("half_a_letter", pay(account="\ud800"), "surrogates"),
    ("half_a_letter_in_a_note", pay(reference="\udfff"), "surrogates"),
    ("list", pay(pool=["shared"]), "pool"),
    ("contracts", trade("ETH-PERP", 1e18, "2000", "ann"), "contracts"),  # type: ignore[arg-type]
    ("price", trade("ETH-PERP", CT, 2_000.0, "ann"), "price"),  # type: ignore[arg-type]
    ("fee", trade("ETH-PERP", CT, "2000", Side("ann", fee=0.5)), "fee"),  # type: ignore[arg-type]
    ("side", c.Fill(instrument="ETH-PERP", contracts=CT, price="2000", buyer="ann",  # type: ignore[arg-type]
                    seller=Side("@outside")), "buyer"),
    ("flag", order("ann", "o", CT, reduce_only=1), "reduce_only"),  # type: ignore[arg-type]
    ("mirror", c.OpenAccount(account="eve", mirror=1), "mirror"),  # type: ignore[arg-type]
    ("limit", c.OpenPool(account="ann", pool=PoolTerms("b", "cross_sum", 1e6)), "pool"),  # type: ignore[arg-type]
    ("penalty", c.Liquidate(account="ann", instrument="ETH-PERP", contracts=CT, price="1",
                            buys=False, counterparty=Side("@outside"), penalty=0.1), "penalty"),  # type: ignore[arg-type]
    ("holdings", holding("bob", {"USD": 1.0}), "balances"),  # type: ignore[dict-item]
    ("cost", holding("bob", {}, {"ETH-PERP": (CT, 0.5)}), "positions"),  # type: ignore[dict-item]
    ("drawn", holding("bob", drawn=1.0), "drawn"),
    ("order_in_it", holding("bob", orders={"o": OrderState("ETH-PERP", 1.0, "1")}), "orders"),  # type: ignore[arg-type]
    ("rate", c.AccrueYield(asset="USD", rate=0.01, holders=(("ann", "shared"),)), "rate"),  # type: ignore[arg-type]
    ("holders", c.ChargeAccruals(holders=(("ann",),)), "holders"),  # type: ignore[arg-type]
    ("level", c.AcceptPrices(stamped_ns=T0, prints={"BTC/USD": Print("1")}), "prints"),  # type: ignore[arg-type]
    ("print_stamp", c.AcceptPrices(stamped_ns=float(T0), prints={}), "stamped_ns"),  # type: ignore[arg-type]
    ("rules", c.AdoptRulebook(rules=5), "rules"),  # type: ignore[arg-type]
    ("inside_a_batch", c.Batch(commands=(pay(key=""), pay(key="", amount=2.0))), "amount"),
    ("no_command", {"type": "Deposit"}, "dict"),
    ("nothing_at_all", None, "NoneType"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("command", "said"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG]
)
def test_a_field_that_is_not_of_its_type_is_one_error_and_nothing_happens(
    command: Any, said: str
) -> None:
    made = calm()
    before = made.engine.state_hash(), len(made.store.records)
    for use in (made.engine.submit, made.engine.what_if):
        with pytest.raises(InputInvalid, match=said):
            use([pay(key="before"), command, pay(key="after")])
    assert before == (made.engine.state_hash(), len(made.store.records))
    assert not made.engine.halted
    made.do(pay(key="later"))


def test_a_queue_refuses_it_before_it_meets_the_commands_of_others() -> None:
    made = calm()
    waiting = CommandQueue(made.engine)
    try:
        with pytest.raises(InputInvalid):
            waiting.submit([pay(amount=2.0)])
        assert waiting.submit([pay()]).result(10.0)
        assert waiting.failed is None
    finally:
        waiting.stop()


def test_a_whole_number_where_a_level_is_asked_is_the_same_level() -> None:
    made = calm()
    made.wait(1)
    made.do(c.AcceptPrices(stamped_ns=made.engine.now(), prints={"BTC/USD": Print(60_000)}),
            c.AdoptVenueTotals(totals={"ETH": 5}))  # fmt: skip
    assert Engine.open(made.store, made.clock).state_hash() == made.engine.state_hash()


def test_whatever_is_acknowledged_can_be_read_again() -> None:
    made = calm()
    made.do(pay(amount=10**20), account("eve"), order("ann", "o", CT))
    assert Venue(made.store).engine.state_hash() == made.engine.state_hash()
