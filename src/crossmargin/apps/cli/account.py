"""Commands about one account: explain, whatif, greeks.

In     an account's name, a pool of it, what is asked.
Out    trees, tables, JSON, pictures; an exit code.
Owns   how trades and transfers are written on the command line.
Never  computes a margin number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from crossmargin.apps.cli.books import binding
from crossmargin.apps.cli.options import Inputs, Outputs, load
from crossmargin.apps.cli.outcome import Exit, said, to_json, undrawn
from crossmargin.apps.cli.progress import working

if TYPE_CHECKING:
    from crossmargin.api import Explanation, Report, Trade, Transfer

Asked = Annotated[str, Parameter(group="Inputs")]
COMPARED = (
    "equity", "margin_balance_mm", "mm", "buffer_mm", "margin_balance_im", "im", "buffer_im",
    "health",
)  # fmt: skip


def explain(
    account: str,
    *,
    pool: Asked = "shared",
    leave_one_out: Annotated[bool, Parameter(negative="", group="Inputs")] = False,
    level: Annotated[str, Parameter(group="Output")] = "mm",
    inputs: Inputs = Inputs(),  # noqa: B008
    outputs: Outputs = Outputs(),  # noqa: B008
) -> int:
    """Show why an account stands where it stands: a tree of named parts that sums.

    Parameters
    ----------
    account
        Name as in the book; "worst" takes the most endangered pool that has a number.
    pool
        One of the account's pools.
    leave_one_out
        Also say what MM would be without each holding.
    level
        mm or im: which tree is printed and drawn; JSON holds both.
    """
    report = load(inputs, outputs.json)
    account, pool = worst_of(report) if account == "worst" else (account, pool)
    if level not in ("mm", "im"):
        from crossmargin.api import InputInvalid

        raise InputInvalid("--level", level, "be mm or im")
    with working("explaining", outputs.json):
        why = report.explain(account, pool, leave_one_out=leave_one_out)
    row = row_of(report, account, pool)
    if outputs.picture is not None and row["unpriced"]:
        undrawn(account)
    elif outputs.picture is not None:
        from crossmargin.apps.pictures.answers import explain_picture
        from crossmargin.apps.pictures.paper import save

        said(save(explain_picture(report, why, level), outputs.picture))
    if outputs.json:
        print(to_json({**report.header(), **row, **why.to_dict()}))
    else:
        show_explanation(report, why, row, level)
    return Exit.UNPRICED if row["unpriced"] else Exit.OK


def worst_of(report: Report) -> tuple[str, str]:
    """Return account and pool of the most endangered pool that has a number."""
    from crossmargin.api import InputInvalid

    table = report.sorted_by_danger()
    table = table.filter(~table["unpriced"])
    if not len(table):
        raise InputInvalid("account", "worst", "be a name: no pool of the book has a number")
    return str(table["account"][0]), str(table["pool"][0])


def row_of(report: Report, account: str, pool: str) -> dict[str, Any]:
    """Return the report's row of one pool."""
    table = report.to_polars()
    found = table.filter((table["account"] == account) & (table["pool"] == pool))
    return found.row(0, named=True)


def show_explanation(
    report: Report, why: Explanation, row: dict[str, Any], level: str = "mm"
) -> None:
    """Print verdict, tree, and what each holding costs by being there."""
    from crossmargin.apps.cli import show
    from crossmargin.apps.pictures.answers import place_of

    place = place_of(why.account, why.pool)
    head = (
        f"[bold]{place}[/] under {why.method}: {show.verdict(row['verdict'])}, health "
        f"{show.ratio(row['health'])}, binds {binding(row)}"
    )
    show.put(head, show.tree(why.buffer_mm if level == "mm" else why.buffer_im))
    if why.leave_one_out:
        rows = [(name, show.amount(value)) for name, value in why.leave_one_out.items()]
        show.put(show.table("MM without one holding, less MM", ("holding", "change"), rows))
    show.put(f"[bright_black]{show.origin(report.header())}[/]")


# --- whatif ---------------------------------------------------------------------------------------


def whatif(
    account: str,
    *,
    trade: Annotated[tuple[str, ...], Parameter(group="Inputs")] = (),
    transfer: Annotated[tuple[str, ...], Parameter(group="Inputs")] = (),
    pool: Asked = "shared",
    inputs: Inputs = Inputs(),  # noqa: B008
    outputs: Outputs = Outputs(),  # noqa: B008
) -> int:
    """Show an account before and after trades and transfers; without any, what it is free to do.

    Parameters
    ----------
    account
        Name as in the book.
    trade
        INSTRUMENT:QUANTITY[@PRICE], quantity negative to sell, price the mark if left out.
    transfer
        ASSET:AMOUNT into the pool from outside, negative to withdraw; or ASSET:AMOUNT:FROM:TO
        between two pools of the account.
    pool
        The pool that trades.
    """
    report = load(inputs, outputs.json)
    if not trade and not transfer:
        if outputs.picture is not None:
            from crossmargin.api import InputInvalid

            raise InputInvalid("--picture", str(outputs.picture), "come with a trade or transfer")
        return free(report, account, pool, outputs.json)
    trades = [read_trade(words) for words in trade]
    transfers = [read_transfer(words, pool) for words in transfer]
    before, after = report.what_if(account, trades, transfers, pool)
    old, new = row_of(before, account, pool), row_of(after, account, pool)
    if outputs.picture is not None:
        from crossmargin.apps.pictures.answers import changed_picture
        from crossmargin.apps.pictures.paper import save

        said(save(changed_picture(report, old, new), outputs.picture))
    if outputs.json:
        print(to_json({**report.header(), "before": old, "after": new}))
        return Exit.UNPRICED if new["unpriced"] else Exit.OK
    from crossmargin.apps.cli import show

    rows = []
    for name in COMPARED:
        write = show.ratio if name == "health" else show.amount
        a, b = old[name], new[name]
        both = a is not None and b is not None
        rows.append((name, write(a), write(b), write(b - a) if both else "-"))
    rows.append(("verdict", show.verdict(old["verdict"]), show.verdict(new["verdict"]), ""))
    rows.append(("binds", binding(old), binding(new), ""))
    show.put(show.table(f"{account} / {pool}", ("", "before", "after", "change"), rows))
    show.put(f"[bright_black]{show.origin(report.header())}[/]")
    return Exit.UNPRICED if new["unpriced"] else Exit.OK


def free(report: Report, account: str, pool: str, as_json: bool) -> int:
    """Say what may be withdrawn of each asset, and the largest order in each instrument held."""
    desk = report.desk(account, pool)
    code = Exit.UNPRICED if row_of(report, account, pool)["unpriced"] else Exit.OK
    market, lo, hi = desk.market.frame, *desk.book.pool_starts[[desk.pool, desk.pool + 1]]
    held = sorted({int(i) for i in desk.book.item[lo:hi]})
    names = market.item_names
    withdraw: dict[str, float] = {}
    orders: dict[str, dict[str, float]] = {}
    with working("looking for what is free", as_json):
        for item in held:
            if item < market.n_assets:
                amount = report.free_to_withdraw(account, names[item], pool)
                withdraw[names[item]] = amount / 10.0 ** int(market.assets.decimals[item])
            else:
                orders[names[item]] = {
                    side: report.largest_order(account, names[item], sign, None, pool)
                    for side, sign in (("buy", 1), ("sell", -1))
                }
    if as_json:
        answer = {"account": account, "pool": pool, "free": withdraw, "largest_order": orders}
        print(to_json({**report.header(), **answer}))
        return code
    from crossmargin.apps.cli import show

    coins = [(name, f"{value:,.8g}") for name, value in withdraw.items()]
    show.put(show.table(f"{account} / {pool}: free to withdraw", ("asset", "coins"), coins))
    sizes = [(n, f"{s['buy']:,.6g}", f"{s['sell']:,.6g}") for n, s in orders.items()]
    if sizes:
        columns = ("instrument", "buy, contracts", "sell, contracts")
        show.put(show.table("Largest order that would be accepted, at the mark", columns, sizes))
    show.put(f"[bright_black]{show.origin(report.header())}[/]")
    return code


def read_trade(words: str) -> Trade:
    """Return the trade of INSTRUMENT:QUANTITY[@PRICE]."""
    from crossmargin.api import Trade

    name, _, rest = words.rpartition(":")
    quantity, at, price = rest.partition("@")
    form = "be INSTRUMENT:QUANTITY[@PRICE], such as ETH-PERP:-10@3000"
    return Trade(name, number(quantity, words, form), number(price, words, form) if at else None)


def read_transfer(words: str, pool: str) -> Transfer:
    """Return the transfer of ASSET:AMOUNT or ASSET:AMOUNT:FROM:TO."""
    from crossmargin.api import InputInvalid, Transfer

    form = "be ASSET:AMOUNT or ASSET:AMOUNT:FROM:TO, such as USDC:5000"
    parts = words.split(":")
    if len(parts) not in (2, 4):
        raise InputInvalid("--transfer", words, form)
    amount = number(parts[1], words, form)
    source, target = parts[2:] if len(parts) == 4 else ("outside", pool)
    if amount < 0.0:
        source, target, amount = target, source, -amount
    return Transfer(parts[0], amount, source, target)


def number(text: str, words: str, form: str) -> float:
    """Return a number, or say which form was wanted."""
    from crossmargin.api import InputInvalid

    try:
        return float(text)
    except ValueError:
        raise InputInvalid("what if", words, form) from None


def greeks(
    account: str,
    *,
    inputs: Inputs = Inputs(),  # noqa: B008
    outputs: Outputs = Outputs(),  # noqa: B008
) -> int:
    """Show delta and gamma (per 1 %), vega (per vol point) and theta (per day) of an account.

    Parameters
    ----------
    account
        Name as in the book.
    """
    report = load(inputs, outputs.json)
    table = report.greeks(account)
    if outputs.picture is not None:
        from crossmargin.apps.pictures.answers import greeks_picture
        from crossmargin.apps.pictures.paper import save

        said(save(greeks_picture(report, account), outputs.picture))
    if outputs.json:
        print(to_json({**report.header(), "rows": table.to_dicts()}))
        return Exit.OK
    from crossmargin.apps.cli import show

    rows = [
        (row["pool"], row["factor"],
         *(show.amount(row[name]) for name in ("delta", "gamma", "vega", "theta")))
        for row in table.iter_rows(named=True)
    ]  # fmt: skip
    columns = ("pool", "factor", "delta 1 %", "gamma 1 %", "vega 1 point", "theta 1 day")
    title = f"{account}: greeks in {report.header()['numeraire']}"
    show.put(show.table(title, columns, rows, 2))
    show.put(f"[bright_black]{show.origin(report.header())}[/]")
    return Exit.OK
