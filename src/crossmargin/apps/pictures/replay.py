"""A day lived again as one page: prices, healths, sales, the fund, who paid; self-contained.

In     what the command tells, and each life's columns.
Out    one HTML file that needs no network.
Owns   what stands on the page and in which order; how many points a line has.
Never  computes a margin number.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from crossmargin.apps.pictures.html import FONT
from crossmargin.apps.pictures.paper import BAD, FAINT, GOOD, INK, MARK, SOFT

if TYPE_CHECKING:
    from crossmargin.simulation.replay import Lived

POINTS_MAX = 1_500
BANDS = (
    ("unpriced", "#8d99a6"), ("health below 1", "#8f2d1b"), ("1 to 1.1", "#d98064"),
    ("1.1 to 1.25", "#e0b080"), ("1.25 to 1.5", "#b9d0c8"), ("1.5 to 2", "#7fb3ab"),
    ("above 2", "#3a8f86"),
)  # fmt: skip
STYLE = (
    f"body{{font-family:{FONT['family']};color:{INK};margin:24px auto;max-width:1180px}}"
    f"table{{border-collapse:collapse;font-size:13px}}td,th{{padding:4px 10px;text-align:right;"
    f"border-bottom:1px solid {FAINT}}}td:first-child,th:first-child{{text-align:left}}"
    f"p,li{{font-size:14px;max-width:900px}}code{{font-size:12px}}.soft{{color:{SOFT}}}"
    "body{line-height:1.5}h1{font-size:22px}h2{font-size:17px;margin-top:34px}"
)
COLUMNS = (
    ("sold by force", "sold_usd"), ("closed against winners", "deleveraged_usd"),
    ("paid by insurance", "insurance_usd"), ("shared by holders", "shared_usd"),
    ("bad debt left", "bad_debt_usd"), ("forced steps", "steps"), ("pools touched", "accounts"),
    ("most under water at once", "under_max"), ("prices not tradable", "halted_frac"),
)  # fmt: skip


def replay_page(
    facts: Mapping[str, Any], lives: Sequence[tuple[str, Lived]], path: Path
) -> Path:  # fmt: skip
    """Write the page: a summary of all lives, then pictures and biggest steps of each."""
    parts = [
        f"<h1>{html.escape(facts['scenario'])}, lived again by {facts['accounts']} accounts</h1>",
        f"<p>{html.escape(_summary(facts))}</p>",
        _table(facts),
        _differences(facts),
    ]
    for place, (name, lived) in enumerate(lives):
        parts.append(f"<h2>{html.escape(name)}</h2>")
        parts.append(_figure(facts, name, lived, include=place == 0))
        parts.append(_steps(lived))
    notes = "".join(f"<li>{html.escape(line)}</li>" for line in facts["assumptions"])
    parts.append(f"<h2>How to read this, and how far to believe it</h2><ul>{notes}</ul>")
    page = (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        f"<title>{html.escape(facts['scenario'])}</title><style>{STYLE}</style></head>"
        f"<body>{''.join(parts)}</body></html>\n"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    return path


def _summary(facts: Mapping[str, Any]) -> str:
    first = facts["lives"][0]
    return (
        f"The accounts were worth {first['equity_first_usd']:,.0f} USD at the start and were "
        f"charged {first['charge_first_usd']:,.0f} of it at maintenance. Each line below is the "
        "same day with the same accounts; only what its name says differs."
    )


def _table(facts: Mapping[str, Any]) -> str:
    head = "".join(f"<th>{name}</th>" for name in ("life, USD", *(n for n, _ in COLUMNS)))
    rows = "".join(
        f"<tr><td>{html.escape(line['life'])}</td>"
        + "".join(
            f"<td>{line[key]:.1%}</td>" if key.endswith("_frac") else f"<td>{line[key]:,.0f}</td>"
            for _, key in COLUMNS
        )
        + "</tr>"
        for line in facts["lives"]
    )
    return f"<table><tr>{head}</tr>{rows}</table>"


def _differences(facts: Mapping[str, Any]) -> str:
    first = facts["lives"][0]["life"]
    parts = []
    for name, lines in facts["differences"].items():
        listed = "".join(f"<li><code>{html.escape(line)}</code></li>" for line in lines)
        said = f"{html.escape(name)} differs from {html.escape(first)} by these rules alone:"
        parts.append(f"<p>{said}</p><ul>{listed}</ul>" if lines else "")
    return "".join(parts)


def _figure(facts: Mapping[str, Any], name: str, lived: Lived, *, include: bool) -> str:
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    shown = facts["shown"]
    titles = [f"{factor}: what the first source said, what was accepted, the slow price"
              for factor in shown]  # fmt: skip
    titles += ["Pools by health", "Sold by force so far, USD", "Insurance fund, USD",
               "Who paid, USD"]  # fmt: skip
    rows = len(titles)
    fig = make_subplots(rows=rows, cols=1, subplot_titles=titles, vertical_spacing=0.055)
    for row, factor in enumerate(shown, 1):
        _price(fig, lived, factor, row)
    _healths(fig, lived, len(shown) + 1)
    when, kept = _times(lived)
    fig.add_scatter(x=when, y=np.cumsum(lived.sold)[kept], line={"color": MARK}, name="sold",
                    row=len(shown) + 2, col=1, showlegend=False)  # fmt: skip
    fig.add_scatter(x=when, y=lived.fund[kept], line={"color": GOOD}, name="fund",
                    row=len(shown) + 3, col=1, showlegend=False)  # fmt: skip
    line = next(line for line in facts["lives"] if line["life"] == name)
    paid = (("closed against winners", line["deleveraged_usd"]),
            ("paid by insurance", line["insurance_usd"]),
            ("shared by holders", line["shared_usd"]),
            ("bad debt left", line["bad_debt_usd"]))  # fmt: skip
    fig.update_xaxes(range=[0.0, 1.05 * max(1.0, *(usd for _, usd in paid))], row=rows, col=1)
    fig.add_trace(go.Bar(
        y=[word for word, _ in paid], x=[usd for _, usd in paid], orientation="h",
        marker={"color": [MARK, GOOD, BAD, INK]}, showlegend=False,
        text=[f"{usd:,.0f}" for _, usd in paid], textposition="auto",
    ), row=rows, col=1)  # fmt: skip
    fig.update_layout(
        font=FONT, height=235 * rows, width=1130, plot_bgcolor="white", paper_bgcolor="white",
        margin={"t": 50, "b": 40, "l": 90, "r": 30},
        legend={"orientation": "h", "y": -0.03, "font": {"size": 11}},
    )  # fmt: skip
    fig.update_xaxes(gridcolor=FAINT)
    fig.update_yaxes(gridcolor=FAINT, automargin=True)
    fig.update_annotations(font={"size": 13})
    made: str = fig.to_html(
        full_html=False, include_plotlyjs=include, config={"displaylogo": False}
    )
    return made


def _times(lived: Lived) -> tuple[Any, Any]:
    """Return stamps and rows of at most `POINTS_MAX` ticks; the last is always there."""
    step = max(1, len(lived.at_ns) // POINTS_MAX)
    kept = np.unique(np.append(np.arange(0, len(lived.at_ns), step), len(lived.at_ns) - 1))
    return lived.at_ns[kept].astype("datetime64[ns]"), kept


def _price(fig: Any, lived: Lived, factor: str, row: int) -> None:
    k = lived.factors.index(factor)
    when, kept = _times(lived)
    lines = (("first source", lived.raw, SOFT, 1.0), ("accepted", lived.fused, MARK, 1.8),
             ("slow", lived.stable, GOOD, 1.2))  # fmt: skip
    for word, values, colour, width in lines:
        fig.add_scatter(x=when, y=values[kept, k], name=word, row=row, col=1, showlegend=row == 1,
                        line={"color": colour, "width": width})  # fmt: skip
    bad = np.array([lived.status[t][k] not in ("live", "degraded") for t in kept.tolist()])
    edges = np.flatnonzero(np.diff(np.concatenate([[0], bad.astype(int), [0]])))
    for first, last in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        fig.add_vrect(
            x0=str(when[first]), x1=str(when[min(last, len(when) - 1)]), fillcolor=BAD,
            opacity=0.15, line_width=0, layer="below", row=row, col=1, exclude_empty_subplots=False,
        )  # fmt: skip


def _healths(fig: Any, lived: Lived, row: int) -> None:
    when = np.array(lived.looked_ns, np.int64).astype("datetime64[ns]")
    counts = np.array(lived.health)
    for band, (word, colour) in enumerate(BANDS):
        fig.add_scatter(x=when, y=counts[:, band], name=word, stackgroup="health", row=row, col=1,
                        line={"width": 0.5, "color": colour}, fillcolor=colour)  # fmt: skip


def _steps(lived: Lived, most: int = 10) -> str:
    biggest = sorted(lived.sales, key=lambda sale: -sale.usd)[:most]
    if not biggest:
        return "<p class='soft'>Nothing was sold by force.</p>"
    rows = "".join(
        f"<tr><td>{np.datetime64(sale.at_ns, 'ns').astype('datetime64[s]')}</td>"
        f"<td>{html.escape(sale.account)}</td><td>{sale.verdict}</td><td>{sale.kind}</td>"
        f"<td>{html.escape(sale.item)}</td><td>{sale.usd:,.0f}</td></tr>"
        for sale in biggest
    )
    names = ("when, UTC", "account", "verdict", "step", "what", "USD")
    head = f"<tr>{''.join(f'<th>{name}</th>' for name in names)}</tr>"
    return (
        f"<p class='soft'>The {len(biggest)} biggest of {len(lived.sales):,} forced steps; red "
        f"stretches above: the price was halted or stale and nobody was sold on it.</p>"
        f"<table>{head}{rows}</table>"
    )
