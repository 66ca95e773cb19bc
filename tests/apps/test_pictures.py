"""Every picture is written, says what it must, and cuts nothing off."""

from __future__ import annotations

import numpy as np
import pytest

from crossmargin import api
from crossmargin.apps.cli.books import METHODS, compared
from crossmargin.apps.pictures import answers, html
from crossmargin.apps.pictures.compare import draw_compare
from crossmargin.apps.pictures.danger import bin_of
from crossmargin.apps.pictures.maps import draw_frontier, draw_losses
from crossmargin.apps.pictures.paper import money, save, share

PAIR, STRANGLE = "pair-trader-001", "short-strangle-001"


def frontier(report):
    return answers.frontier_values(
        report, PAIR, "shared", report.frontier(PAIR, ("ETH/USD", "BTC/USD"), points=7)
    )


def stress(report):
    names, pnl = report.stress()
    return answers.stress_values(report, range(12), names, pnl)


def comparing(report):
    return answers.compare_values(report, compared(report, METHODS, quiet=True))


def price(report):
    return answers.price_picture(
        report, STRANGLE, "ETH/USD", report.liquidation_prices(STRANGLE, "ETH/USD")
    )


def changed(report):
    before, after = report.what_if(PAIR, transfers=[api.Transfer("USDC", 1e4, "outside", "shared")])
    rows = (one.to_polars().row(0, named=True) for one in (before, after))
    return answers.changed_picture(report, *rows)


DRAWN = {
    "whatif": changed,
    "greeks": lambda report: answers.greeks_picture(report, "market-maker-001"),
    "margin": answers.margin_picture,
    "explain_mm": lambda report: answers.explain_picture(report, report.explain(STRANGLE)),
    "explain_im": lambda report: answers.explain_picture(report, report.explain(PAIR), "im"),
    "liquidation_price": price,
    "frontier": lambda report: draw_frontier(*frontier(report)),
    "compare": lambda report: draw_compare(*comparing(report)),
    "stress": lambda report: draw_losses(*stress(report)),
}
PAGES = {
    "frontier": (html.frontier_page, frontier),
    "compare": (html.compare_page, comparing),
    "stress": (html.losses_page, stress),
}


@pytest.mark.parametrize("name", DRAWN)
def test_a_picture_states_its_source_and_cuts_no_text_off(report, tmp_path, name) -> None:
    figure = DRAWN[name](report)
    path = save(figure, tmp_path / f"{name}.png")
    assert path.stat().st_size > 10_000
    words = [text for text in texts(figure) if text.get_text().strip() and text.get_visible()]
    said = " ".join(text.get_text() for text in words)
    assert "USD" in said or "percent" in said
    assert report.header()["at"] in said
    assert "rulebook prime-24h" in said
    whole = figure.bbox
    for text in words:
        box = text.get_window_extent()
        inside = (
            box.x0 >= whole.x0 - 1 and box.x1 <= whole.x1 + 1
            and box.y0 >= whole.y0 - 1 and box.y1 <= whole.y1 + 1
        )  # fmt: skip
        assert inside, f"cut off: {text.get_text()!r}"


def texts(figure):
    """Every text that is drawn; ticks outside an axis' view are not."""
    yield from figure.texts
    for axes in figure.axes:
        yield from axes.texts
        yield from (axes.title, axes._left_title, axes.xaxis.label, axes.yaxis.label)
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in axis.get_major_ticks():
                if low <= tick.get_loc() <= high:
                    yield from (tick.label1, tick.label2)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_needs_no_network(report, tmp_path, name) -> None:
    write, values = PAGES[name]
    page = write(*values(report), tmp_path / f"{name}.html").read_text()
    assert 'src="http' not in page
    assert report.header()["at"] in page
    assert "<title>" in page


@pytest.mark.parametrize(
    ("health", "bar"),
    [(-0.3, 0), (0.0, 1), (0.999, 5), (1.0, 6), (9.99, 12), (10.0, 13), (np.inf, 14), (-np.inf, 0)],
)
def test_the_dashed_line_of_health_stands_at_one(health, bar) -> None:
    # Five bars from 0 to just below 1 (0, 0.25, 0.5, 0.75, 0.9) after the one that owes.
    assert bin_of(health) == bar


def test_amounts_on_an_axis_are_short() -> None:
    assert [money(x) for x in (0.0, 12.5, -999.9, 1_000.0, 1.25e6, -3.4e9)] == [
        "0", "12.5", "-1k", "1k", "1.25M", "-3.4B",
    ]  # fmt: skip
    assert [share(x) for x in (0.0, 0.125, 1.5, 12.0)] == ["0 %", "12.5 %", "150 %", "1,200 %"]
