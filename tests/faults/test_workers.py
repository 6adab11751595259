"""Workers that grammars and texts need, and the front itself, are killed or stopped while requests wait for them.

A request gets the right answer or an error that has a type, and no other process of the server is started again.
"""

from __future__ import annotations

import json
import shutil
import signal
import threading
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.faults.callers import SHORT, WAYS, Answer, Asking, over_http, seconds_to_serve
from tests.faults.conftest import NANO, Record
from tests.server.server import Server, runs, wait_until

KILL, STOP = signal.SIGKILL, signal.SIGSTOP
GRAMMARS, TEXTS = "trimode.grammar.worker", "trimode.text.encoder.worker"
WAITS = 0.5
"""Seconds in which a request comes to wait for the worker; one that comes later meets it hurt, which is right too."""
UNUSUAL = {"type": "Replace", "pattern": {"Regex": "\u2603+"}, "content": "\u2603"}
"""A normalizer that is not known to be harmless, and changes no text of these tests."""
NUMBERS = count()
KILLS = [(KILL, way) for way in WAYS]
"""How each worker is killed. A stop takes ten seconds to be noticed, so each is stopped over one way alone."""


def name_of(part: signal.Signals | str) -> str:
    return part.name if isinstance(part, signal.Signals) else part


def workers(server: Server, module: str) -> list[psutil.Process]:
    """The processes of the stub that run a module."""
    return [child for child in server.stub.children() if module in child.cmdline()]


def form() -> tuple[dict[str, Any], str]:
    """A request whose grammar no other one had, and the only text that it allows."""
    text = f"form {next(NUMBERS)}"
    return {
        "text_input": "Once",
        "mode": "autoregressive",
        "max_tokens": 40,
        "guided_decoding_guide_type": "regex",
        "guided_decoding_guide": text,
        "return_finish_reason": True,
    }, text


def hurt_while_it_is_needed(
    worker: psutil.Process, number: signal.Signals, server: Server, way: str, request: dict[str, Any]
) -> Answer:
    """Hurt a worker while a request waits for it, and return the answer to that request."""
    found: list[Answer] = []
    worker.suspend()
    thread = threading.Thread(target=lambda: found.append(WAYS[way](server, request)), daemon=True)
    thread.start()
    time.sleep(WAITS)
    worker.send_signal(number)
    thread.join(60)
    assert found, "an answer was lost"
    wait_until(lambda: not runs(worker), lambda: f"{worker} is left")
    return found[0]


@pytest.fixture(scope="module")
def unusual(
    bundle_of: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory, starter: Callable[..., Server]
) -> Server:
    """A server whose tokenizer encodes in a process of its own."""
    folder = tmp_path_factory.mktemp("checkpoint") / "unusual"
    shutil.copytree(NANO, folder)
    tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8")) | {"normalizer": UNUSUAL}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    return starter(bundle_of(folder))


@pytest.mark.parametrize(("number", "way"), [*KILLS, (STOP, "HTTP")], ids=name_of)
def test_the_worker_of_grammars_is_hurt_while_a_request_needs_it(
    server: Server, right: dict[str, str], record: Record, number: signal.Signals, way: str
) -> None:
    first, text = form()
    assert WAYS[way](server, first).text == text  # the first grammar starts the worker
    before = server.triton, server.stub
    asking = Asking(server, way)
    (worker,) = workers(server, GRAMMARS)
    request, text = form()
    since = time.monotonic()
    answer = hurt_while_it_is_needed(worker, number, server, way, request)
    answer.check(text)
    seconds = seconds_to_serve(server, way, text, since, request)
    record(f"{number.name} to grammar worker, forms", way, seconds, answer=answer.error_type or "whole")
    running = asking.answer()
    running.check(right["long"])
    assert running.whole and before == (server.triton, server.stub)


@pytest.mark.parametrize(("number", "way"), [*KILLS, (STOP, "gRPC")], ids=name_of)
def test_the_worker_of_texts_is_hurt_while_a_request_needs_it(
    unusual: Server, right: dict[str, str], record: Record, number: signal.Signals, way: str
) -> None:
    assert WAYS[way](unusual, SHORT).text == right["short"]
    before = unusual.triton, unusual.stub
    (worker,) = workers(unusual, TEXTS)
    since = time.monotonic()
    answer = hurt_while_it_is_needed(worker, number, unusual, way, SHORT)
    answer.check(right["short"])
    seconds = seconds_to_serve(unusual, way, right["short"], since)
    record(f"{number.name} to encoder worker", way, seconds, answer=answer.error_type or "whole")
    assert before == (unusual.triton, unusual.stub)


def test_the_front_is_stopped_and_goes_on(server: Server, right: dict[str, str]) -> None:
    """Both ways lead through it: answers go on where they stood, and a request that came meanwhile is answered."""
    before = server.triton, server.stub
    asking = [Asking(server, way) for way in WAYS]
    front, found = psutil.Process(server.process.pid), list[Answer]()
    front.suspend()
    try:
        meanwhile = threading.Thread(target=lambda: found.append(over_http(server, SHORT)), daemon=True)
        meanwhile.start()
        time.sleep(WAITS)
    finally:
        front.resume()
    for answer in (asked.answer() for asked in asking):
        answer.check(right["long"])
        assert answer.whole
    meanwhile.join(60)
    assert [one.text for one in found] == [right["short"]]
    assert before == (server.triton, server.stub)
