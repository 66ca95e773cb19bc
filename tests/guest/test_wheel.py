"""The short form of `make wheel`: what is built holds the package, and works without the checkout.

`make wheel` installs it into empty environments of several interpreters and runs the demo there.
"""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "crossmargin"
SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
import crossmargin as cm
assert cm.__file__.startswith(sys.argv[1]), cm.__file__
print(cm.load_rulebook("prime-24h").name, cm.load_rulebook("exchange-4h").name, len(cm.METHODS))
"""


def test_the_wheel_holds_the_package_and_answers_from_elsewhere(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("crossmargin-*.whl")
    place = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as packed:
        names = set(packed.namelist())
        packed.extractall(place)
    wanted = {
        f"crossmargin/{path.relative_to(PACKAGE).as_posix()}"
        for path in PACKAGE.rglob("*")
        if path.suffix in (".py", ".toml") or path.name == "py.typed"
    }
    assert wanted <= names
    assert "crossmargin/py.typed" in names
    stray = [n for n in names if not n.startswith("crossmargin") or "__pycache__" in n]
    assert stray == []
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(place)], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout.split() == ["prime-24h", "exchange-4h", "4"], done.stderr
