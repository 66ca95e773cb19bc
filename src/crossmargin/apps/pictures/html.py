"""The same pictures as web pages one can point into: self-contained HTML by plotly.

In     the values the PNG is drawn from, and its caption.
Out    one HTML file that needs no network.
Owns   what a pointer reads off.
Never  computes a margin number.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from crossmargin.apps.pictures.compare import Compared, colour_of
from crossmargin.apps.pictures.maps import Frontier, Losses
from crossmargin.apps.pictures.paper import INK, SOFT, Caption, plotly_colours

FONT = {"family": "DejaVu Sans, Verdana, sans-serif", "color": INK, "size": 13}


def frontier_page(map_: Frontier, caption: Caption, path: Path) -> Path:
    """Write the frontier; the pointer reads both moves and the buffer."""
    import plotly.graph_objects as go

    reach = float(np.nanpercentile(np.abs(map_.buffer_mm), 96)) or 1.0
    fig = go.Figure()
    fig.add_heatmap(
        x=map_.moves_x, y=map_.moves_y, z=map_.buffer_mm, zmin=-reach, zmax=reach,
        colorscale=list(plotly_colours()), zsmooth="best",
        colorbar={"title": "buffer at MM", "tickformat": ".3~s"},
        hovertemplate=(
            f"{map_.factor_x} %{{x:+.1%}}<br>{map_.factor_y} %{{y:+.1%}}"
            "<br>buffer %{z:,.0f}<extra></extra>"
        ),
    )  # fmt: skip
    fig.add_contour(
        x=map_.moves_x, y=map_.moves_y, z=map_.buffer_mm, showscale=False, hoverinfo="skip",
        contours={"start": 0, "end": 0, "size": 1, "coloring": "none"},
        line={"width": 3, "color": INK}, name="liquidated beyond",
    )  # fmt: skip
    fig.add_scatter(
        x=[0], y=[0], mode="markers+text", text=["now"], textposition="top right",
        marker={"symbol": "cross-thin", "size": 15, "line": {"width": 3, "color": INK}},
        hoverinfo="skip", showlegend=False,
    )  # fmt: skip
    fig.update_layout(showlegend=False)
    fig.update_xaxes(title=f"move of {map_.factor_x}", tickformat="+.0%")
    fig.update_yaxes(title=f"move of {map_.factor_y}", tickformat="+.0%")
    return _write(fig, caption, path, 760)


def losses_page(losses: Losses, caption: Caption, path: Path) -> Path:
    """Write the stress heat map; the pointer reads pool, scenario and loss."""
    import plotly.graph_objects as go

    fig = go.Figure()
    fig.add_heatmap(
        x=list(losses.pools), y=list(losses.scenarios), z=-losses.share.T, zmin=-1, zmax=1,
        colorscale=list(plotly_colours()), xgap=2, ygap=2,
        colorbar={"title": "P&L / equity", "tickformat": ".0%"},
        hovertemplate="%{x}<br>%{y}<br>P&L %{z:.1%} of equity<extra></extra>",
    )  # fmt: skip
    fig.update_yaxes(autorange="reversed", automargin=True)
    fig.update_xaxes(tickangle=-50, side="top")
    # The names of pools stand above the map and must not reach the title.
    return _write(fig, caption, path, 400 + 24 * len(losses.scenarios), head=240)


def compare_page(compared: Compared, caption: Caption, path: Path) -> Path:
    """Write the comparison; the pointer reads method, account and share."""
    from plotly.subplots import make_subplots

    fig = make_subplots(
        rows=1, cols=2, column_widths=[0.4, 0.6], horizontal_spacing=0.17,
        subplot_titles=("All accounts: MM and IM", "Accounts with the widest gap"),
    )  # fmt: skip
    methods = list(compared.total_im)
    colours = [colour_of(method, place) for place, method in enumerate(methods)]
    for level, totals, shade in (("MM", compared.total_mm, 1.0), ("IM", compared.total_im, 0.4)):
        fig.add_bar(
            x=[name.replace("_", "<br>") for name in methods], y=[totals[m] for m in methods],
            marker={"color": colours, "opacity": shade}, name=level, showlegend=False,
            hovertemplate=f"%{{x}} {level} %{{y:,.0f}}<extra></extra>", row=1, col=1,
        )  # fmt: skip
    for place, (method, shares) in enumerate(compared.charge_share.items()):
        fig.add_scatter(
            x=list(shares), y=list(compared.accounts), mode="markers", name=method,
            # Smaller marks over larger ones: methods that agree show as rings.
            marker={"size": max(8, 17 - 3 * place), "color": colour_of(method, place)},
            hovertemplate=f"%{{y}}<br>{method}: %{{x:.1%}} of equity<extra></extra>",
            row=1, col=2,
        )  # fmt: skip
    fig.update_yaxes(autorange="reversed", automargin=True, row=1, col=2)
    fig.update_xaxes(
        tickformat=".0%", title="all the rules take off equity at IM, share of equity",
        row=1, col=2,
    )  # fmt: skip
    fig.update_layout(barmode="group", legend={"orientation": "h", "y": -0.14, "x": 0.55})
    return _write(fig, caption, path, 680)


def _write(fig: Any, caption: Caption, path: Path, height: int, head: int = 105) -> Path:
    words = f"<b>{caption.title}</b><br><span style='font-size:12px'>{caption.units}</span>"
    below = (
        f"{caption.reading}<br><span style='font-size:11px;color:{SOFT}'>{caption.source}</span>"
    )
    fig.update_layout(
        title={"text": words, "x": 0.02, "xanchor": "left", "y": 0.98, "yanchor": "top"},
        font=FONT, height=height, width=1150, plot_bgcolor="white", paper_bgcolor="white",
        margin={"t": head, "b": 60, "l": 80, "r": 40},
    )  # fmt: skip
    figure = fig.to_html(full_html=False, include_plotlyjs=True, config={"displaylogo": False})
    page = (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        f"<title>{caption.title}</title></head>"
        f"<body style='font-family:{FONT['family']};color:{INK};margin:16px;max-width:1180px'>"
        f"{figure}<p style='font-size:14px;line-height:1.5;margin-left:24px'>{below}</p>"
        "</body></html>\n"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    return path
