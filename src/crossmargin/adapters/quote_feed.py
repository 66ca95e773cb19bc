"""Live quotes over a WebSocket or polled over HTTP: connect, listen, connect again.

In     an address that sends quotes as JSON.
Out    the newest quote of every source and factor since the last look; what was lost meanwhile.
Owns   reconnection, gaps in sequence numbers, and how much waits for a reader: one quote for each
       source and factor, the newest. An older one that nobody took is replaced and counted, so a
       slow reader sees fewer quotes and never old ones, and memory does not grow.
Never  judges a price; blocks the sender; lets a foreign exception out of its thread.
Signs  as `oracle.quotes.QuoteFrame`.
Spec   docs/formats.md, docs/limits.md
"""

from __future__ import annotations

import random
import threading
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import msgspec
import numpy as np

from crossmargin.base.arrays import F64
from crossmargin.base.errors import InputInvalid
from crossmargin.oracle.quotes import QuoteFrame
from crossmargin.oracle.state import Universe

# One message; a venue's snapshot of thousands of factors fits.
MESSAGE_BYTES_MAX = 4 * 1024 * 1024
NAN = float("nan")
# What a broken line, a refused connection or a bad answer raises; the sender's fault, not ours.
_TROUBLE = (OSError, TimeoutError, EOFError, ValueError)


class SentQuote(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A quote as it is sent; docs/formats.md has the same."""

    factor: str
    source: str
    price: float
    stamp_ns: int
    sequence: int
    volume: float | None = None
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """What a feed has been through since it started. `gaps` are numbers that never came."""

    messages: int = 0
    quotes: int = 0
    unreadable: int = 0
    unknown: int = 0
    repeated: int = 0
    gaps: int = 0
    replaced: int = 0
    connections: int = 0
    failures: int = 0
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a feed waits: for a message, and before it connects again (doubling, shuffled)."""

    silence_s: float = 30.0
    wait_s: float = 0.2
    wait_max_s: float = 10.0


class Mailbox:
    """The newest quote of every source and factor, and a count of everything else."""

    def __init__(self, universe: Universe) -> None:
        """Listen for these factors and sources and no others."""
        self._factors = {name: row for row, name in enumerate(universe.factors)}
        self._sources = {name: row for row, name in enumerate(universe.sources)}
        self._read = msgspec.json.Decoder(SentQuote | list[SentQuote]).decode
        self._waiting: dict[tuple[int, int], SentQuote] = {}
        self._last: dict[tuple[int, int], int] = {}
        self._health = Health()
        self._changed = threading.Condition()

    def put(self, message: bytes | str) -> None:
        """Keep what a message says; one that cannot be read is counted and forgotten."""
        try:
            said = self._read(message)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as bad:
            self.note(unreadable=1, trouble=str(bad)[:200])
            return
        with self._changed:
            self._count(messages=1)
            for quote in said if isinstance(said, list) else [said]:
                self._keep(quote)
            self._changed.notify_all()

    def take(self, wait_s: float = 0.0) -> QuoteFrame:
        """Return what is new, in the order in which it was last said; wait for it if asked."""
        with self._changed:
            if not self._waiting and wait_s > 0.0:
                self._changed.wait(wait_s)
            waiting, self._waiting = self._waiting, {}
        return _frame(list(waiting), list(waiting.values()))

    def note(self, trouble: str = "", **counts: int) -> None:
        """Count something that happened to the feed."""
        with self._changed:
            self._count(**counts)
            if trouble:
                self._health = replace(self._health, trouble=trouble)

    def health(self) -> Health:
        """Return what happened so far."""
        with self._changed:
            return self._health

    def _keep(self, quote: SentQuote) -> None:
        factor, source = self._factors.get(quote.factor), self._sources.get(quote.source)
        if factor is None or source is None or not -(2**63) <= quote.stamp_ns < 2**63:
            self._count(unknown=1)
            return
        place = factor, source
        last = self._last.get(place)
        if last is not None and quote.sequence <= last:
            self._count(repeated=1)
            return
        if not 0 <= quote.sequence < 2**63:
            self._count(unknown=1)
            return
        gaps = 0 if last is None else quote.sequence - last - 1
        replaced = self._waiting.pop(place, None) is not None
        self._last[place] = quote.sequence
        self._waiting[place] = quote
        self._count(quotes=1, gaps=gaps, replaced=int(replaced))

    def _count(self, **counts: int) -> None:
        told = {name: getattr(self._health, name) + n for name, n in counts.items()}
        self._health = replace(self._health, **told)


class QuoteFeed(ABC):
    """A thread that fills a mailbox until it is stopped. Subclasses say how one line is held."""

    def __init__(
        self, where: str, mailbox: Mailbox, rng: random.Random, patience: Patience | None = None
    ) -> None:
        """Prepare to listen at an address; `rng` shuffles the waits between connections."""
        self.where, self.mailbox = where, mailbox
        self.patience = patience or Patience()
        self._rng, self._stopped = rng, threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"quotes {where}", daemon=True)

    def __enter__(self) -> QuoteFeed:
        """Start listening."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, and wait for the thread."""
        self._stopped.set()
        self.close()
        self._thread.join()

    def close(self) -> None:  # noqa: B027 a hook: who only asks has no line to break off
        """Break off a line that is held."""

    @abstractmethod
    def hold(self) -> None:
        """Connect and fill the mailbox until the line ends; what goes wrong is raised."""

    def _run(self) -> None:
        wait_s = self.patience.wait_s
        while not self._stopped.is_set():
            before = self.mailbox.health().messages
            try:
                self.hold()
            except _TROUBLE as trouble:
                said = f"{type(trouble).__name__}: {trouble}"[:200]
                self.mailbox.note(trouble=said, failures=int(not self._stopped.is_set()))
            # A line that said something was a good one: the next wait is short again.
            heard = self.mailbox.health().messages > before
            wait_s = self.patience.wait_s if heard else min(2.0 * wait_s, self.patience.wait_max_s)
            self._stopped.wait(wait_s * self._rng.uniform(0.5, 1.0))


class SocketQuotes(QuoteFeed):
    """Quotes that a WebSocket sends. subscribe: what is said first on every connection."""

    subscribe: Sequence[str] = ()
    _line = None

    def __enter__(self) -> QuoteFeed:
        """Start listening, where the library for it is installed."""
        try:
            import websockets.sync.client  # noqa: F401 - a thread could not say that it is missing
        except ImportError:
            raise InputInvalid(
                self.where, "no module websockets", "be opened with the extra crossmargin[feeds]",
                "pip install 'crossmargin[feeds]'",
            ) from None  # fmt: skip
        return super().__enter__()

    def hold(self) -> None:
        """Listen until the other side, silence or a stop ends it."""
        from websockets.exceptions import WebSocketException
        from websockets.sync.client import connect

        try:
            with connect(
                self.where, open_timeout=self.patience.silence_s, max_size=MESSAGE_BYTES_MAX,
                close_timeout=1.0,
            ) as line:  # fmt: skip
                self._line = line
                self.mailbox.note(connections=1)
                for words in self.subscribe:
                    line.send(words)
                while not self._stopped.is_set():
                    # A line that says nothing for so long may be half open: try another.
                    self.mailbox.put(line.recv(timeout=self.patience.silence_s))
        except WebSocketException as ended:
            raise OSError(f"{self.where}: {ended}") from None
        finally:
            self._line = None

    def say(self, words: str) -> None:
        """Say something on the line that is held, such as another subscription; lost if none is."""
        from websockets.exceptions import WebSocketException

        line = self._line
        if line is not None:
            with suppress(WebSocketException):  # its reader notices, and opens another
                line.send(words)

    def close(self) -> None:
        """Close the line; its reader wakes up."""
        line = self._line
        if line is not None:
            line.close()


class PolledQuotes(QuoteFeed):
    """Quotes that an address answers with, asked every `every_s`."""

    every_s = 1.0

    def hold(self) -> None:
        """Ask until something goes wrong or somebody says stop."""
        if not self.where.startswith(("http://", "https://")):
            raise ValueError(f"{self.where}: must be an http address")
        first = True
        while not self._stopped.is_set():
            with urllib.request.urlopen(self.where, timeout=self.patience.silence_s) as answer:
                body = answer.read(MESSAGE_BYTES_MAX + 1)
            if len(body) > MESSAGE_BYTES_MAX:
                raise OSError(f"{self.where}: more than {MESSAGE_BYTES_MAX} bytes")
            self.mailbox.note(connections=int(first))
            first = False
            self.mailbox.put(body)
            self._stopped.wait(self.every_s)


def _frame(places: list[tuple[int, int]], quotes: list[SentQuote]) -> QuoteFrame:
    def stated(values: list[float | None]) -> F64:
        return np.array([NAN if v is None else v for v in values], np.float64)

    return QuoteFrame(
        np.array([factor for factor, _ in places], np.int64),
        np.array([source for _, source in places], np.int64),
        stated([q.price for q in quotes]),
        np.array([q.stamp_ns for q in quotes], np.int64),
        np.array([q.sequence for q in quotes], np.int64),
        stated([q.volume for q in quotes]), stated([q.confidence for q in quotes]),
    )  # fmt: skip
