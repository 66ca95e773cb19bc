"""What may be asked of the engine.

In     nothing: these are values, made by adapters from bytes or by Python.
Out    frozen commands.
Owns   the commands and their fields.
Never  decides; `engine.replies` says what they may be answered.
Signs  amounts are integers of smallest units, > 0 unless said otherwise; contracts are 10^-18.
Spec   docs/spec/10-ledger.md
"""

from __future__ import annotations

from typing import Any

import msgspec

from crossmargin.base.errors import InputInvalid
from crossmargin.domain.accounts import SHARED
from crossmargin.domain.book import Mark, OrderState, Print, Rows, Scenarios
from crossmargin.ledger.events import PoolTerms

# Of what is wrong with a field, as much as is shown.
SAID_CHARS_MAX = 160

_encode = msgspec.json.Encoder().encode


class Command(
    msgspec.Struct, frozen=True, kw_only=True, tag=True, forbid_unknown_fields=True, gc=False
):
    """key: idempotency key, one effect however often it is sent. issued_ns: the sender's clock."""

    key: str = ""
    issued_ns: int = 0


class Side(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """One side of a fill; account "@outside" is whoever is not a user here.

    fee    settlement units (quote of a spot pair), < 0 is a rebate
    order  the open order it fills
    """

    account: str
    pool: str = SHARED
    fee: int = 0
    order: str = ""


Holder = tuple[str, str]


# --- accounts -------------------------------------------------------------------------------------


class OpenAccount(Command, frozen=True, kw_only=True):
    """pools: the shared pool first, where it is listed; mirror: of an account at another venue."""

    account: str
    pools: tuple[PoolTerms, ...] = ()
    mirror: bool = False


class OpenPool(Command, frozen=True, kw_only=True):
    account: str
    pool: PoolTerms


class SetStatus(Command, frozen=True, kw_only=True):
    """open, frozen or closed."""

    account: str
    status: str
    reason: str = ""


# --- the world: decided alone, never in a batch ---------------------------------------------------


class ListMarket(Command, frozen=True, kw_only=True):
    """Tables of docs/formats.md; what is listed already keeps its decimals and terms."""

    numeraire: str
    source: str
    factors: Rows
    assets: Rows
    instruments: Rows = ()


class AdoptRulebook(Command, frozen=True, kw_only=True):
    rules: bytes


class AdoptScenarios(Command, frozen=True, kw_only=True):
    scenarios: Scenarios


class AcceptPrices(Command, frozen=True, kw_only=True):
    stamped_ns: int
    prints: dict[str, Print] = {}
    marks: dict[str, Mark] = {}


class AdoptVenueTotals(Command, frozen=True, kw_only=True):
    totals: dict[str, float]


class AdvanceFunding(Command, frozen=True, kw_only=True):
    """Longs pay rate (a fraction, signed) x notional at price, an interval."""

    instrument: str
    rate: str
    price: str


class AdvanceInterest(Command, frozen=True, kw_only=True):
    """Debts of an asset grow by its rate at the utilisation of now, for the time since last."""

    asset: str


# --- money ----------------------------------------------------------------------------------------


class Deposit(Command, frozen=True, kw_only=True):
    account: str
    asset: str
    amount: int
    pool: str = SHARED
    reference: str = ""


class Withdraw(Command, frozen=True, kw_only=True):
    account: str
    asset: str
    amount: int
    pool: str = SHARED
    reference: str = ""


class Borrow(Command, frozen=True, kw_only=True):
    """Like a withdrawal, but the balance may go below zero."""

    account: str
    asset: str
    amount: int
    pool: str = SHARED


class Repay(Command, frozen=True, kw_only=True):
    """From outside, at most what is owed with interest."""

    account: str
    asset: str
    amount: int
    pool: str = SHARED


class Transfer(Command, frozen=True, kw_only=True):
    """Between two pools, of one account or of two; pays_back: the bucket's `drawn` falls."""

    account: str
    asset: str
    amount: int
    pool: str = SHARED
    to_account: str = ""
    to_pool: str = SHARED
    pays_back: bool = False


class AccrueYield(Command, frozen=True, kw_only=True):
    """Holders with a positive balance get rate (decimal text) of it, from @outside or @interest."""

    asset: str
    rate: str
    holders: tuple[Holder, ...]
    source: str = "@outside"
    reference: str = ""


# --- trading --------------------------------------------------------------------------------------


class Fill(Command, frozen=True, kw_only=True):
    """contracts > 0; price decimal text, quote units (premium options: settlement units)."""

    instrument: str
    contracts: int
    price: str
    buyer: Side
    seller: Side


class PlaceOrder(Command, frozen=True, kw_only=True):
    account: str
    order: str
    instrument: str
    contracts: int
    limit_price: str
    pool: str = SHARED
    reduce_only: bool = False


class CancelOrder(Command, frozen=True, kw_only=True):
    """order "": all of the pool's."""

    account: str
    order: str = ""
    pool: str = SHARED
    reason: str = ""


class ReserveDraws(Command, frozen=True, kw_only=True):
    """Keep what each bucket reserves at MM now, for the time its price is missing (spec 1.1)."""

    account: str


class ChargeAccruals(Command, frozen=True, kw_only=True):
    """Settle funding and interest of these pools up to the indexes of now."""

    holders: tuple[Holder, ...]


class SettleExpiry(Command, frozen=True, kw_only=True):
    """An expired instrument ends in cash for these holders; the first one fixes the price."""

    instrument: str
    price: str
    holders: tuple[Holder, ...]


# --- losses ---------------------------------------------------------------------------------------


class Liquidate(Command, frozen=True, kw_only=True):
    """Forced sale (or buying back) of a position or, by a spot pair, of collateral or debt.

    penalty  settlement units, into the tier's insurance fund
    rounds   more are to come of the plan it is part of
    """

    account: str
    instrument: str
    contracts: int
    price: str
    buys: bool
    counterparty: Side
    pool: str = SHARED
    penalty: int = 0
    tier: str = "A"
    rounds: bool = False


class Draw(Command, frozen=True, kw_only=True):
    """The shared pool pays for an empty bucket, at most t of spec 1.1."""

    account: str
    pool: str
    asset: str
    amount: int


class FundInsurance(Command, frozen=True, kw_only=True):
    tier: str
    asset: str
    amount: int


class PayInsurance(Command, frozen=True, kw_only=True):
    account: str
    tier: str
    asset: str
    amount: int
    pool: str = SHARED


class Deleverage(Command, frozen=True, kw_only=True):
    """A bankrupt pool's position is closed against another's, at a stated price."""

    instrument: str
    contracts: int
    price: str
    bankrupt: Holder
    bankrupt_buys: bool
    counterparty: Holder


class Socialise(Command, frozen=True, kw_only=True):
    """What an empty pool owes is paid by holders, pro rata to their balances of the asset."""

    account: str
    asset: str
    amount: int
    holders: tuple[Holder, ...]
    pool: str = SHARED


class Observe(Command, frozen=True, kw_only=True):
    """A mirror account becomes what was seen; positions: instrument -> (contracts, cost)."""

    account: str
    source: str
    balances: dict[str, int] = {}
    positions: dict[str, tuple[int, int]] = {}
    pool: str = SHARED


class ImportAccount(Command, frozen=True, kw_only=True):
    """Opening holdings of a pool that has none yet, from outside; nothing is judged.

    balances may be negative; positions: instrument -> (contracts, cost); orders by id
    """

    account: str
    balances: dict[str, int] = {}
    positions: dict[str, tuple[int, int]] = {}
    orders: dict[str, OrderState] = {}
    drawn: int = 0
    last_draw: int = 0
    pool: str = SHARED


Single = (
    OpenAccount | OpenPool | SetStatus | Deposit | Withdraw | Borrow | Repay | Transfer
    | AccrueYield | Fill | PlaceOrder | CancelOrder | ReserveDraws | ChargeAccruals | SettleExpiry
    | Liquidate | Draw | FundInsurance | PayInsurance | Deleverage | Socialise | Observe
    | ImportAccount
)  # fmt: skip
World = (
    ListMarket | AdoptRulebook | AdoptScenarios | AcceptPrices | AdoptVenueTotals | AdvanceFunding
    | AdvanceInterest
)  # fmt: skip


class Batch(Command, frozen=True, kw_only=True):
    """All or none, judged on the state after the last; the commands inside carry no key."""

    commands: tuple[Single, ...]


AnyCommand = Single | World | Batch
WORLD = frozenset(World.__args__)


# These hold no float and no bytes: what comes back from JSON is what was meant.
_readers = {kind: msgspec.json.Decoder(kind).decode for kind in Single.__args__}


def understood(command: object) -> AnyCommand:
    """Return a command whose every field is of its type; InputInvalid where one is not.

    A class does not look at what it is built of: an amount of 2.0 or a flag of 1 would be kept,
    acknowledged, and then be a record that nobody can read.
    """
    if not isinstance(command, Command):
        found = type(command).__name__
        raise InputInvalid("command", found, "be one of crossmargin.engine.commands")
    if isinstance(command, Batch):
        # One by one: what may stand in a batch is said by a refusal, not by a type.
        bare = _typed(msgspec.structs.replace(command, commands=()))
        inner = tuple(understood(one) for one in command.commands)
        whole: AnyCommand = msgspec.structs.replace(bare, commands=inner)
        return whole
    alike: AnyCommand = _typed(command)
    return alike


def _typed(command: Command) -> Any:
    kind = type(command)
    try:
        line = _encode(command)  # text that is no Unicode cannot be kept either
        read = _readers.get(kind)
        if read is not None:
            return read(line)
        # Numbers that are no number are refused with a reason: they must get that far.
        return msgspec.convert(msgspec.to_builtins(command, builtin_types=(bytes,)), kind)
    except (msgspec.MsgspecError, TypeError, ValueError) as unreadable:
        raise InputInvalid(
            kind.__name__, str(unreadable)[:SAID_CHARS_MAX], "have fields of their types",
            "amounts are int, prices and rates are text",
        ) from None  # fmt: skip
