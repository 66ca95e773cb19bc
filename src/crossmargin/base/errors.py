"""Every exception a user of crossmargin can meet.

    CrossmarginError
     +-- InputInvalid             an input that cannot be understood: where, found, allowed, remedy
     |    +-- RulebookInvalid     a key of a rulebook
     |    +-- BookInvalid         a book; carries every bad row it found, not just the first
     |    +-- MarketInvalid       a market; likewise
     |    +-- FileUnreadable      a file that is missing, cut short or of another format
     +-- RiskError                a number that must not be given
     |    +-- Unpriced            a price or parameter it would need is missing or bad
     +-- LedgerError              the journal, or the medium it lives on
          +-- JournalBroken       records that do not follow from each other; names the first one
          +-- StoreFailed         the medium refused: disk full, read-only, connection lost
          +-- StoreBusy           another process holds the writer's lease
          +-- StoreConflict       another process wrote since; this writer must stop
          +-- Overloaded          the queue of commands is full: try again later
          +-- ClockJumped         the machine's time ran ahead at once: nothing is stamped with it

In     what was found, where, and what would have been allowed.
Out    one message a person can act on, and the same facts as attributes.
Owns   the tree above and the shape of the message.
Never  guesses a remedy; stands for a bug of ours (those are asserts) or a refused command.
Signs  none.
Spec   docs/spec/00-words.md
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# Longer reports scroll away; the attribute keeps every finding.
FINDINGS_SHOWN_MAX = 20
# A value quoted back to the user: enough to recognise it, not a whole file.
FOUND_CHARS_MAX = 80


class CrossmarginError(Exception):
    """The root: catch this to catch everything crossmargin raises on purpose."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing wrong with an input.

    where    file, path or row: `book.json: accounts[3].positions[0].quantity`
    found    the offending value as it stood there
    allowed  what would have been accepted, as the end of "must ..."
    remedy   what to do about it; empty where `allowed` says it already
    """

    where: str
    found: object
    allowed: str
    remedy: str = ""

    def __str__(self) -> str:
        """Return "where: found X, must Y; remedy"."""
        tail = f"; {self.remedy}" if self.remedy else ""
        return f"{self.where}: found {_quoted(self.found)}, {_must(self.allowed)}{tail}"


class InputInvalid(CrossmarginError):
    """An input that cannot be understood. The first finding's facts are attributes."""

    def __init__(self, where: str, found: object, allowed: str, remedy: str = "") -> None:
        """Build it from one finding's facts."""
        self._carry((Finding(where, found, allowed, remedy),))

    def _carry(self, findings: tuple[Finding, ...]) -> None:
        assert findings, "an error without a finding says nothing"
        first = findings[0]
        self.findings = findings
        self.where, self.found = first.where, first.found
        self.allowed, self.remedy = first.allowed, first.remedy
        # args rebuilds the exception when it is pickled across a process border.
        self.args = (self._message(),)

    def _message(self) -> str:
        shown = [str(finding) for finding in self.findings[:FINDINGS_SHOWN_MAX]]
        left = len(self.findings) - len(shown)
        if left:
            shown.append(f"... and {left} more")
        return "\n".join(shown)

    def __str__(self) -> str:
        """Return the message."""
        return self._message()

    def __reduce__(self) -> tuple[object, ...]:
        """Rebuild from the findings: the constructors of the tree differ."""
        return (_rebuilt, (type(self), self.findings))


class RulebookInvalid(InputInvalid):
    """A rulebook key holds what it must not: `RulebookInvalid(key, found, allowed)`."""

    def __init__(self, key: str, found: object, allowed: str, remedy: str = "") -> None:
        """Build it from one key's facts."""
        self._carry((Finding(key, found, allowed, remedy),))

    @property
    def key(self) -> str:
        """The dotted key, such as `collateral.ETH.haircut_mm_frac`."""
        return self.where


class _ManyInvalid(InputInvalid):
    """An input of rows: every bad row is carried, the first twenty are printed with the count."""

    word = "input"

    def __init__(self, findings: Sequence[Finding]) -> None:
        """Build it from all findings at once."""
        self._carry(tuple(findings))

    def _message(self) -> str:
        count = len(self.findings)
        if count == 1:
            return str(self.findings[0])
        body = super()._message().replace("\n", "\n  ")
        return f"{self.word}: {count} findings\n  {body}"


class BookInvalid(_ManyInvalid):
    """A book that cannot be understood: `BookInvalid(findings)`."""

    word = "book"


class MarketInvalid(_ManyInvalid):
    """A market that cannot be understood: `MarketInvalid(findings)`."""

    word = "market"


class FileUnreadable(InputInvalid):
    """A file that is missing, cut short or not of the format it claims."""


class RiskError(CrossmarginError):
    """A number that must not be given, because it would be wrong."""


class Unpriced(RiskError):
    """A single number was asked of a pool whose prices do not carry it."""

    def __init__(self, where: str, missing: Sequence[str], remedy: str) -> None:
        """Say which prices or parameters are missing, and for what."""
        self.where, self.missing, self.remedy = where, tuple(missing), remedy
        super().__init__(where, self.missing, remedy)

    def __str__(self) -> str:
        """Return "where: unpriced, because A, B are missing or bad; remedy"."""
        names = ", ".join(self.missing)
        verb = "is" if len(self.missing) == 1 else "are"
        return f"{self.where}: unpriced, because {names} {verb} missing or bad; {self.remedy}"


class LedgerError(CrossmarginError):
    """The journal, or the medium it lives on: where, what was found, what to do."""

    def __init__(self, where: str, found: str, remedy: str) -> None:
        """Say which store or record, what happened there, and what to do about it."""
        self.where, self.found, self.remedy = where, found, remedy
        super().__init__(where, found, remedy)

    def __str__(self) -> str:
        """Return "where: found; remedy"."""
        return f"{self.where}: {self.found}; {self.remedy}"


class JournalBroken(LedgerError):
    """Records that do not follow from each other: tampered, cut or reordered; `seq` is where."""

    def __init__(self, where: str, seq: int, found: str, remedy: str = "") -> None:
        """Name the first record that cannot be believed."""
        super().__init__(where, f"record {seq}: {found}", remedy or "restore from a backup")
        self.seq = seq
        self.args = (where, seq, found, remedy)


class StoreFailed(LedgerError):
    """The medium refused. After a lost connection or a failed sync the outcome is not known: open
    the store again and look at its last record."""


class StoreBusy(LedgerError):
    """Another process holds the writer's lease."""


class StoreConflict(LedgerError):
    """Another process wrote since: this writer must stop and start again from the store."""


class Overloaded(LedgerError):
    """The queue of commands is full; the command was not looked at."""


class ClockJumped(LedgerError):
    """The machine's time ran ahead at once. A record stamped with it would be for ever: every
    later command would come too late. Nothing was stamped."""


def _rebuilt(kind: type[InputInvalid], findings: tuple[Finding, ...]) -> InputInvalid:
    error = kind.__new__(kind)
    error._carry(findings)
    return error


def _must(allowed: str) -> str:
    return allowed if allowed.startswith("must ") else f"must {allowed}"


def _quoted(found: object) -> str:
    text = repr(found)
    if len(text) <= FOUND_CHARS_MAX:
        return text
    return f"{text[:FOUND_CHARS_MAX]}... ({len(text)} characters)"
