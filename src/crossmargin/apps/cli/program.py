"""The program `crossmargin`: its commands, and what happens to a command that is mistyped.

In     words.
Out    an exit code.
Owns   which commands there are.
Never  imports what a command needs before it is asked for: --help answers at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cyclopts import App, CycloptsError

from crossmargin import __version__
from crossmargin.apps.cli import account, books, demo, prices, real, rules
from crossmargin.apps.cli.outcome import Exit, complain, guarded

HELP = """Margin requirement, verdict and the reason for both, for crypto accounts.

Without --book and --market a command answers for the embedded demo: a generated book of 200 accounts in a generated market.

Exit codes: 0 answered; 1 answered, and what --fail-on, lint or diff looks for was found; 2 an input that cannot be understood; 3 answered, but some pools are UNPRICED or were set aside.
"""  # noqa: E501 - the terminal folds it
COMMANDS: dict[str, Callable[..., int]] = {
    "margin": books.margin,
    "explain": account.explain,
    "whatif": account.whatif,
    "liquidation-price": prices.liquidation_price,
    "frontier": prices.frontier,
    "greeks": account.greeks,
    "compare": books.compare,
    "stress": books.stress,
    "demo": demo.demo,
    "real": real.real,
}
RULES: dict[str, Callable[..., int]] = {"lint": rules.lint, "diff": rules.diff, "show": rules.show}


def program() -> App:
    """Return the program."""
    app = App(name="crossmargin", help=HELP, version=__version__, help_format="plaintext")
    for place, (name, command) in enumerate(COMMANDS.items()):
        app.command(command, name=name, sort_key=place)
    rulebook = App(name="rulebook", help="Check, compare and show rulebooks.", sort_key=99)
    for name, command in RULES.items():
        rulebook.command(command, name=name)
    app.command(rulebook)
    return app


def run(words: Sequence[str]) -> int:
    """Run one command and return its exit code."""

    def call() -> int:
        try:
            answer = program()(
                list(words), exit_on_error=False, print_error=False, result_action="return_value"
            )
        except CycloptsError as mistyped:
            return complain(f"{mistyped}\nTry: crossmargin --help")
        return int(answer) if isinstance(answer, int) else Exit.OK

    return guarded(call)
