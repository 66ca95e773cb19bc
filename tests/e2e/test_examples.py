"""Every example runs; the notebook too."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_one_account(capsys) -> None:
    report = load("one_account").main()
    assert report.to_polars()["verdict"].to_list() == ["HEALTHY"]
    assert "liquidated below" in capsys.readouterr().out


def test_hedged_basket(tmp_path, capsys) -> None:
    reports = load("hedged_basket").main([str(tmp_path / "basket.png")])
    # A hedge is worth most where netting reaches across collateral and positions.
    assert reports["portfolio"].frame.buffer_im[0] > reports["isolated"].frame.buffer_im[0]
    assert (tmp_path / "basket.png").exists()


def test_million_pools_with_a_few_thousand(capsys) -> None:
    report = load("million_pools").main(["3000"])
    assert len(report) == 3000
    assert "3,000 pools" in capsys.readouterr().out


@pytest.mark.slow
def test_the_notebook_runs_from_top_to_bottom() -> None:
    import nbformat
    from nbclient import NotebookClient

    book = nbformat.read(EXAMPLES / "story.ipynb", as_version=4)
    NotebookClient(book, timeout=300, kernel_name="python3").execute()
    pictures = [
        output
        for cell in book.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if "image/png" in output.get("data", {})
    ]
    assert len(pictures) >= 5
