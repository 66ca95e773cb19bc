"""Live quotes from real servers on loopback: reconnection, gaps, a slow reader, bad messages."""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from websockets.sync.server import ServerConnection, serve

from crossmargin.adapters.quote_feed import Mailbox, Patience, PolledQuotes, QuoteFeed, SocketQuotes
from crossmargin.adapters.quotes import price_commands
from crossmargin.base.errors import InputInvalid
from crossmargin.oracle.fuse import fuse
from crossmargin.oracle.state import started, universe_of
from engine.small import venue
from oracle.bench import NOON, RULES, SECOND

UNIVERSE = universe_of({"BTC/USD": "BTC", "ETH/USD": "ETH"}, ["a", "b", "c"], RULES)
QUICK = Patience(silence_s=0.3, wait_s=0.01, wait_max_s=0.05)


def sent(sequence: int, source: str = "a", factor: str = "BTC/USD", **more: object) -> dict:
    return {"factor": factor, "source": source, "price": 60_000.0 + sequence, "stamp_ns": NOON,
            "sequence": sequence, **more}  # fmt: skip


@contextmanager
def socket(talk: Callable[[ServerConnection, int], None]) -> Iterator[str]:
    """A server that holds each connection by `talk(line, which)`."""
    count = iter(range(1_000))
    with serve(lambda line: talk(line, next(count)), "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        host, port = server.socket.getsockname()[:2]
        yield f"ws://{host}:{port}"
        server.shutdown()
        thread.join()


def until(true: Callable[[], bool]) -> None:
    for _ in range(500):
        if true():
            return
        time.sleep(0.01)
    raise AssertionError("it did not happen within five seconds")


def listening(where: str, kind: type[QuoteFeed] = SocketQuotes) -> QuoteFeed:
    return kind(where, Mailbox(UNIVERSE), random.Random(1), QUICK)


def stay(line: ServerConnection) -> None:
    """Hold the line until the client goes away."""
    for _ in line:
        pass


def test_quotes_arrive_and_can_be_fused() -> None:
    def talk(line: ServerConnection, _: int) -> None:
        line.send(json.dumps([sent(1, s, volume=5, confidence=0.001) for s in "abc"]))
        stay(line)

    with socket(talk) as where, listening(where) as feed:
        until(lambda: feed.mailbox.health().quotes == 3)
        quotes = feed.mailbox.take()
        _, fused = fuse(started(UNIVERSE), quotes, NOON)
        assert fused.n_kept.tolist() == [3, 0]
        assert float(fused.agreed[0]) == 60_001.0
        assert len(feed.mailbox.take()) == 0


def test_a_live_feed_moves_the_prices_of_an_engine() -> None:
    # Six minutes of ether in one message each five seconds of the engine's clock, then a crash.
    made = venue()
    levels = [2_000.0] * 75 + [1_500.0] * 14
    begin = made.engine.now()
    moments = [begin + 5 * (n + 1) * SECOND for n in range(len(levels))]

    def talk(line: ServerConnection, _: int) -> None:
        for n in range(len(levels)):
            said = [sent(n, s, "ETH/USD", price=levels[n], stamp_ns=moments[n]) for s in "abc"]
            line.send(json.dumps(said))
            line.recv()  # the next moment
        stay(line)

    state, seen = started(UNIVERSE), []
    with socket(talk) as where, listening(where) as feed:
        for at in moments:
            quotes = feed.mailbox.take(5.0)
            state, fused = fuse(state, quotes, at)
            made.clock.now_ns = at
            made.do(*price_commands(fused, 60.0))
            told, _ = made.book.head.prints["ETH/USD"]
            seen.append((told.level, told.status))
            feed.say("next")
    # For a minute nothing has been confirmed, and what the venue was opened with stands.
    assert seen[74] == (2_000.0, "live")
    assert [seen[n] for n in (75, 86)] == [(2_000.0, "halted")] * 2
    assert seen[87] == (1_500.0, "degraded"), "sixty seconds after the first of them"


def test_what_is_subscribed_to_is_said_on_every_connection() -> None:
    heard = []

    def talk(line: ServerConnection, which: int) -> None:
        heard.append(line.recv())
        line.send(json.dumps(sent(which + 1)))
        if which:
            stay(line)

    with socket(talk) as where:
        feed = listening(where)
        feed.subscribe = ['{"subscribe": "prices"}']
        with feed:
            until(lambda: feed.mailbox.health().connections == 2)
            until(lambda: feed.mailbox.health().quotes == 2)
    assert heard == ['{"subscribe": "prices"}'] * 2


def test_a_line_that_breaks_is_opened_again_and_the_gap_is_counted() -> None:
    def talk(line: ServerConnection, which: int) -> None:
        line.send(json.dumps(sent(1 if which == 0 else 10 + which)))
        if which == 2:
            stay(line)  # the first two break off at once

    with socket(talk) as where, listening(where) as feed:
        until(lambda: feed.mailbox.health().quotes == 3)
        health = feed.mailbox.health()
    assert health.connections == 3
    assert health.failures == 2
    assert health.gaps == 9, "1, then 11 and 12: 2 to 10 never came"


def test_a_silent_line_is_given_up() -> None:
    def talk(line: ServerConnection, which: int) -> None:
        if which:
            line.send(json.dumps(sent(1)))
        stay(line)

    with socket(talk) as where, listening(where) as feed:
        until(lambda: feed.mailbox.health().quotes == 1)
        assert feed.mailbox.health().failures >= 1
        assert "Timeout" in feed.mailbox.health().trouble


def test_a_server_that_is_down_is_tried_until_it_is_there() -> None:
    feed = listening("ws://127.0.0.1:9")  # nobody listens at the discard port
    with feed:
        until(lambda: feed.mailbox.health().failures >= 3)
    assert feed.mailbox.health().connections == 0


def test_a_slow_reader_finds_the_newest_quote_and_no_queue() -> None:
    box = Mailbox(UNIVERSE)
    for n in range(10_000):
        box.put(json.dumps(sent(n)))
        box.put(json.dumps(sent(n, "b")))
    quotes = box.take()
    assert quotes.sequence.tolist() == [9_999, 9_999]
    assert box.health().replaced == 2 * 9_999
    assert box.health().gaps == 0


def test_what_cannot_be_used_is_counted_and_never_raised() -> None:
    box = Mailbox(UNIVERSE)
    for message in (b"\xff", "{", "[1]", "null", json.dumps({**sent(1), "extra": 1}),
                    json.dumps({**sent(1), "price": "60000"})):  # fmt: skip
        box.put(message)
    assert box.health().unreadable == 6
    box.put(json.dumps([sent(1, "stranger"), sent(1, factor="X"), sent(-1), sent(2**70, "b")]))
    assert box.health().unknown == 4
    box.put(json.dumps([sent(5), sent(5), sent(4)]))
    assert box.health().repeated == 2
    assert box.take().sequence.tolist() == [5]


def test_a_message_too_long_ends_the_line_and_not_the_feed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crossmargin.adapters.quote_feed.MESSAGE_BYTES_MAX", 1_000)

    def talk(line: ServerConnection, which: int) -> None:
        line.send(json.dumps([sent(n) for n in range(100)] if which == 0 else sent(1)))
        stay(line)

    with socket(talk) as where, listening(where) as feed:
        until(lambda: feed.mailbox.health().quotes == 1)
        assert feed.mailbox.health().failures >= 1


def test_a_wait_ends_with_the_first_quote() -> None:
    box = Mailbox(UNIVERSE)
    threading.Timer(0.05, lambda: box.put(json.dumps(sent(1)))).start()
    began = time.perf_counter()
    assert len(box.take(5.0)) == 1
    assert time.perf_counter() - began < 4.0


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "websockets.sync.client", None)
    with pytest.raises(InputInvalid, match=r"crossmargin\[feeds\]"), listening("ws://127.0.0.1:9"):
        pass


class Answers(BaseHTTPRequestHandler):
    """Answers with 503, then with quotes that count up."""

    asked = 0

    def do_GET(self) -> None:
        kind = type(self)
        kind.asked += 1
        body = json.dumps([sent(kind.asked, s) for s in "abc"]).encode()
        self.send_response(503 if kind.asked == 1 else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def test_an_address_is_polled_and_a_refusal_is_tried_again() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        feed = PolledQuotes(
            f"http://127.0.0.1:{server.server_port}/", Mailbox(UNIVERSE), random.Random(1), QUICK
        )
        feed.every_s = 0.02
        with feed:
            until(lambda: feed.mailbox.health().quotes >= 9)
        server.shutdown()
        thread.join()
    health = feed.mailbox.health()
    assert health.failures == 1
    assert "503" in health.trouble
    assert health.gaps == 0


def test_an_address_of_another_kind_is_not_opened() -> None:
    with listening("file:///etc/hostname", PolledQuotes) as feed:
        until(lambda: feed.mailbox.health().failures >= 1)
    assert feed.mailbox.health().messages == 0
