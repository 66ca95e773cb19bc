"""Days that happened, lived by the command: figures that add up, a page that stands alone."""

from __future__ import annotations

import json

import pytest

from crossmargin.apps.cli.outcome import Exit
from crossmargin.apps.cli.program import program

real = pytest.mark.real


@real
def test_usdes_hour_is_lived_with_and_without_protection(shared, tmp_path, capsys):
    page = tmp_path / "page.html"
    words = ["replay", "--scenario", "2025-10-10", "--shared", str(shared), "--book", "40",
             "--hours", "21", "22", "--html", str(page), "--json"]  # fmt: skip
    assert program()(words, result_action="return_value") == Exit.OK
    told = json.loads(capsys.readouterr().out)
    protected, bare = told["lives"]
    assert protected["life"] == "protected"
    assert bare["equity_first_usd"] == pytest.approx(protected["equity_first_usd"], rel=1e-9)
    assert any("oracle.sources" in line for line in told["differences"]["bare"])
    assert all("oracle" in line for line in told["differences"]["bare"]), "nothing else differs"
    for life in told["lives"]:
        assert life["sold_usd"] > 0.0
        assert sum(life["health_bands"]) == 40
    text = page.read_text(encoding="utf-8")
    assert 'src="http' not in text, "the page needs no network"
    assert all(life["life"] in text for life in told["lives"])
    assert all(line in text for line in ("USDe", "Insurance fund"))
