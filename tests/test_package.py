"""The package alone is light: importing it loads neither a compiler nor a data frame."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ["numpy", "numba", "polars", "pyarrow", "scipy", "sklearn", "matplotlib", "plotly"]


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = f"import sys, crossmargin; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    code = "import crossmargin; print(hasattr(crossmargin, 'no_such_name'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
