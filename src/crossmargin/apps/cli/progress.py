"""Progress on stderr for whatever may take more than a second.

In     the name of a step, how many parts it has.
Out    a line or bar while it runs; nothing is left on a terminal, a line where there is none.
Owns   when something is worth showing.
Never  writes to stdout, which belongs to the answer.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from crossmargin.apps.cli.outcome import tell

Part = TypeVar("Part")
# Shorter steps would only flicker, or fill a log.
WORTH_SAYING_S = 1.0
# An assessment that takes longer than reading compiled code from the cache is compiling it.
COMPILING_S = 4.0
COMPILING = " (compiling kernels: once, about half a minute)"


@contextmanager
def working(words: str, quiet: bool = False, compiles: bool = False) -> Iterator[None]:
    """Show a spinner and the seconds passed while the block runs.

    compiles  the step may have to compile kernels first, and says so when it takes long
    """
    if quiet:
        yield
        return
    started = time.monotonic()
    if not sys.stderr.isatty():
        yield
        took = time.monotonic() - started
        if took > WORTH_SAYING_S:
            tail = COMPILING if compiles and took > COMPILING_S else ""
            tell(f"{words}{tail}: {took:.1f} s")
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, Task, TextColumn, TimeElapsedColumn
    from rich.text import Text

    class Words(TextColumn):
        def render(self, task: Task) -> Text:
            late = compiles and (task.elapsed or 0.0) > COMPILING_S
            return Text(words + (COMPILING if late else ""))

    columns = (SpinnerColumn(), Words(""), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        bar.add_task(words, total=None)
        yield


def each(parts: Iterable[Part], words: str, quiet: bool = False) -> Iterator[Part]:
    """Yield the parts of a step under a bar that fills."""
    listed = list(parts)
    if quiet or not sys.stderr.isatty():
        with working(words, quiet):
            yield from listed
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(listed, description=words, console=Console(stderr=True), transient=True)


@contextmanager
def searching(words: str, quiet: bool = False) -> Iterator[Callable[[int, int], None]]:
    """Yield a watch to hand to a search: called with (done, all), it moves a bar."""
    if quiet or not sys.stderr.isatty():
        with working(words, quiet):
            yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(words, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
