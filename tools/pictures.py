"""Draw docs/pictures again and run the notebook again, after numbers have moved.

python tools/pictures.py
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHOWN = ("margin", "explain", "compare", "frontier", "liquidation-price")
NOTEBOOK = ROOT / "examples" / "story.ipynb"


def draw() -> None:
    """Run the demo and keep the pictures the documents show."""
    from crossmargin.apps.cli.program import run

    with tempfile.TemporaryDirectory() as made:
        if run(["demo", "--out", made]):
            sys.exit("the demo failed")
        for name in SHOWN:
            shutil.copy(Path(made) / f"{name}.png", ROOT / "docs" / "pictures" / f"{name}.png")


def execute() -> None:
    """Run the notebook and keep its outputs; what depends on the run is dropped."""
    import nbformat
    from nbclient import NotebookClient

    book = nbformat.read(NOTEBOOK, as_version=4)
    kept = dict(book.metadata)
    NotebookClient(book, timeout=300, kernel_name="python3").execute()
    book.metadata = nbformat.from_dict(kept)
    for cell in book.cells:
        if cell.cell_type == "code":
            cell.metadata = {}
    nbformat.write(book, NOTEBOOK)


if __name__ == "__main__":
    draw()
    execute()
