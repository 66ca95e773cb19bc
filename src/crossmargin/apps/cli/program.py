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
from crossmargin.apps.cli import (
    account,
    adl,
    books,
    demo,
    ledger,
    ledger_copies,
    ledger_free,
    ledger_looks,
    ledger_sends,
    ledger_statements,
    liquidate,
    oracle,
    prices,
    real,
    replay,
    rules,
    simulate,
)
from crossmargin.apps.cli.outcome import Exit, complain, guarded
from crossmargin.apps.cli.run import run_engine

HELP = """Margin requirement, verdict and the reason for both, for crypto accounts.

Without --book and --market a command answers for the embedded demo: a generated book of 200 accounts in a generated market.

Exit codes: 0 answered; 1 answered, and what --fail-on, lint, diff or verify looks for was found; 2 an input that cannot be understood; 3 answered, but some pools are UNPRICED or were set aside.
"""  # noqa: E501 - the terminal folds it
COMMANDS: dict[str, Callable[..., int]] = {
    "margin": books.margin,
    "explain": account.explain,
    "whatif": account.whatif,
    "liquidation-price": prices.liquidation_price,
    "liquidate": liquidate.liquidate,
    "frontier": prices.frontier,
    "greeks": account.greeks,
    "compare": books.compare,
    "stress": books.stress,
    "oracle": oracle.oracle,
    "demo": demo.demo,
    "real": real.real,
    "adl": adl.adl,
    "replay": replay.replay,
    "run": run_engine,
    "simulate": simulate.simulate,
}
RULES: dict[str, Callable[..., int]] = {"lint": rules.lint, "diff": rules.diff, "show": rules.show}
LEDGER: dict[str, Callable[..., int]] = {
    "init": ledger.init,
    "adopt": ledger.adopt,
    "import": ledger_sends.import_book,
    "submit": ledger_sends.submit,
    "balance": ledger_looks.balance,
    "free": ledger_free.free,
    "statement": ledger_statements.statement,
    "verify": ledger_looks.verify,
    "backup": ledger_copies.backup,
    "restore": ledger_copies.restore,
    "rebuild": ledger_copies.rebuild,
    "export": ledger_copies.export,
}
LEDGER_HELP = "Keep accounts in a journal: open, pay in, ask, verify, copy (docs/ledger.md)."


def program() -> App:
    """Return the program."""
    app = App(name="crossmargin", help=HELP, version=__version__, help_format="plaintext")
    for place, (name, command) in enumerate(COMMANDS.items()):
        app.command(command, name=name, sort_key=place)
    rulebook = App(name="rulebook", help="Check, compare and show rulebooks.", sort_key=99)
    for name, command in RULES.items():
        rulebook.command(command, name=name)
    app.command(rulebook)
    journal = App(name="ledger", help=LEDGER_HELP, sort_key=98)
    for place, (name, command) in enumerate(LEDGER.items()):
        journal.command(command, name=name, sort_key=place)
    app.command(journal)
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
