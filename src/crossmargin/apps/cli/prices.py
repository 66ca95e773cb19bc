"""Commands about prices: liquidation-price and frontier.

In     an account's name, a pool of it, factors.
Out    tables, JSON, pictures; an exit code.
Owns   how answers on both sides of today's price are worded.
Never  searches: `inquiry.prices` does.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from crossmargin.apps.cli.account import Asked, row_of
from crossmargin.apps.cli.options import Inputs, Outputs, Pages, load
from crossmargin.apps.cli.outcome import Exit, said, to_json, undrawn
from crossmargin.apps.cli.progress import searching

if TYPE_CHECKING:
    from crossmargin.api import Report

Numbers = tuple[float | None, float | None]


def liquidation_price(
    account: str,
    factor: str | None = None,
    *,
    pool: Asked = "shared",
    likely: Annotated[bool, Parameter(negative="", group="Inputs")] = False,
    inputs: Inputs = Inputs(),  # noqa: B008
    outputs: Outputs = Outputs(),  # noqa: B008
) -> int:
    """Find the prices at which an account becomes liquidatable, all else unchanged.

    Parameters
    ----------
    account
        Name as in the book.
    factor
        Such as ETH/USD; none: every factor the account depends on.
    pool
        One of the account's pools.
    likely
        Also search the most likely joint move that liquidates it.
    """
    report = load(inputs, outputs.json)
    desk = report.desk(account, pool)
    factors = desk.market.frame.factors
    if factor is None:
        names = list(factors.names)
    else:
        names = [n for n in factors.names if n == factor or n.partition("/")[0] == factor]
        names = names[:1] or [factor]
    found: dict[str, Numbers] = {}
    for name in names:
        with searching(f"liquidation price of {name}", outputs.json) as watch:
            found[name] = report.liquidation_prices(account, name, pool, watch)
    with searching("moves of all crypto together", outputs.json) as watch:
        together = report.beta_liquidation(account, pool, watch)
    move = None
    if likely:
        with searching("most likely liquidating move", outputs.json) as watch:
            move = report.most_likely_move(account, pool, watch)
    levels = dict(zip(factors.names, factors.level.tolist(), strict=True))
    row = row_of(report, account, pool)
    if outputs.picture is not None and row["unpriced"]:
        undrawn(account)
    elif outputs.picture is not None:
        draw_price(report, (account, pool), levels, found, outputs.picture)
    if outputs.json:
        answer = {
            "account": account, "pool": pool, "verdict": row["verdict"],
            "liquidation_prices": {
                n: {"now": levels[n], "below": b, "above": a} for n, (b, a) in found.items()
            },
            "beta_move_of_btc": {"below": together[0], "above": together[1]},
            "most_likely_move": None if move is None else
            {"distance": move.distance, "buffer": move.buffer, "move": move.move},
        }  # fmt: skip
        print(to_json({**report.header(), **answer}))
    else:
        show_prices(report, row, levels, found)
        if not row["unpriced"]:
            show_moves(together, move, likely)
        from crossmargin.apps.cli import show

        show.put(f"[bright_black]{show.origin(report.header())}[/]")
    return Exit.UNPRICED if row["unpriced"] else Exit.OK


def draw_price(
    report: Report, place: tuple[str, str], levels: dict[str, float], found: dict[str, Numbers],
    path: Path,
) -> None:  # fmt: skip
    """Draw the factor whose liquidation price is nearest."""
    from crossmargin.apps.pictures.answers import price_picture
    from crossmargin.apps.pictures.paper import save

    name = nearest(levels, found)
    said(save(price_picture(report, place[0], name, found[name], place[1]), path))


def nearest(levels: dict[str, float], found: dict[str, Numbers]) -> str:
    """Return the factor with the smallest move to an answer, else the first."""

    def distance(name: str) -> float:
        moves = [abs(math.log(x / levels[name])) for x in found[name] if x is not None]
        return min(moves, default=math.inf)

    return min(found, key=distance)


def show_prices(
    report: Report, row: dict[str, Any], levels: dict[str, float], found: dict[str, Numbers]
) -> None:
    """Print one row a factor with its answers on both sides."""
    from crossmargin.apps.cli import show

    def cell(level: float | None, now: float) -> str:
        none = "unknown" if row["unpriced"] else "none"
        return none if level is None else f"{level:,.6g} ({level / now - 1.0:+.1%})"

    rows = [
        (name, f"{levels[name]:,.6g}", cell(below, levels[name]), cell(above, levels[name]))
        for name, (below, above) in found.items()
    ]
    title = (
        f"{row['account']} / {row['pool']}: {row['verdict']}, buffer at MM "
        f"{show.amount(row['buffer_mm'])} {report.header()['numeraire']}"
    )
    crossed = "restored" if (row["buffer_mm"] or 0.0) < 0.0 else "liquidated"
    show.put(show.table(title, ("factor", "now", f"{crossed} below", f"{crossed} above"), rows))


def show_moves(together: Numbers, move: Any, asked: bool) -> None:
    """Print the answers for moves of several factors at once."""
    from crossmargin.apps.cli import show

    words = [f"BTC {x:+.1%}" for x in together if x is not None]
    show.put("All crypto moving with BTC by its beta: " + (" or ".join(words) or "never"))
    if not asked:
        return
    if move is None:
        show.put("Most likely liquidating move: none found")
        return
    largest = sorted(move.move.items(), key=lambda pair: -abs(pair[1]))[:6]
    parts = ", ".join(f"{name} {value:+.1%}" for name, value in largest)
    show.put(f"Most likely liquidating move, {move.distance:.1f} standard deviations: {parts}")


def frontier(
    account: str,
    factor_x: str,
    factor_y: str,
    *,
    pool: Asked = "shared",
    inputs: Inputs = Inputs(),  # noqa: B008
    outputs: Pages = Pages(),  # noqa: B008
) -> int:
    """Map the buffer over two prices: where an account is safe and where it is liquidated.

    Parameters
    ----------
    account
        Name as in the book.
    factor_x
        Such as ETH/USD.
    factor_y
        Such as BTC/USD.
    pool
        One of the account's pools.
    """
    report = load(inputs, outputs.json)
    with searching("frontier", outputs.json) as watch:
        grid = report.frontier(account, (factor_x, factor_y), pool=pool, watch=watch)
    unpriced = bool(row_of(report, account, pool)["unpriced"])
    if unpriced and (outputs.picture is not None or outputs.html is not None):
        undrawn(account)
    elif outputs.picture is not None or outputs.html is not None:
        from crossmargin.apps.pictures.answers import frontier_values
        from crossmargin.apps.pictures.html import frontier_page
        from crossmargin.apps.pictures.maps import draw_frontier
        from crossmargin.apps.pictures.paper import save

        values, caption = frontier_values(report, account, pool, grid)
        if outputs.picture is not None:
            said(save(draw_frontier(values, caption), outputs.picture))
        if outputs.html is not None:
            said(frontier_page(values, caption, outputs.html))
    if outputs.json:
        answer = {
            "account": account, "pool": pool, "factor_x": grid.factor_x, "factor_y": grid.factor_y,
            "x": grid.x, "y": grid.y, "buffer_mm": grid.buffer,
        }  # fmt: skip
        print(to_json({**report.header(), **answer}))
    else:
        show_frontier(report, account, pool, grid)
    return Exit.UNPRICED if unpriced else Exit.OK


def show_frontier(report: Report, account: str, pool: str, grid: Any) -> None:
    """Print every third cell of the grid, rust where the pool is liquidated."""
    from crossmargin.apps.cli import show
    from crossmargin.apps.pictures.answers import place_of
    from crossmargin.apps.pictures.paper import money

    step = max(1, (len(grid.x) - 1) // 8)
    columns = [f"{x:,.6g}" for x in grid.x[::step]]
    rows = []
    for y, line in zip(grid.y[::-step], grid.buffer[::-step], strict=True):
        cells = [
            "-" if math.isnan(b) else f"[{'red' if b < 0.0 else 'blue'}]{money(b)}[/]"
            for b in line[::step].tolist()
        ]
        rows.append((f"{y:,.6g}", *cells))
    title = f"{place_of(account, pool)}: buffer at MM, {grid.factor_y} down, {grid.factor_x} across"
    show.put(show.table(title, (grid.factor_y, *columns), rows))
    show.put(f"[bright_black]{show.origin(report.header())}[/]")
