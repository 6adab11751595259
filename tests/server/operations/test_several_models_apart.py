"""What happens to one of several models leaves the other be; what they cannot have together ends the start."""

from __future__ import annotations

import http.client
import json
import shutil
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest
from trimode.api.tensors import MODEL_NAME
from trimode.bundle import digests
from trimode.bundle.manifest import MANIFEST
from trimode.server.launch.renewal import STAYS

from tests.server.server import Server, children, wait_until
from tests.server.several_models import (
    ASKED,
    FIRST,
    LONG,
    MOST_SECONDS,
    NAMED,
    SECOND,
    SECOND_OF_KSERVE,
    complete,
    generate,
    names_of,
    serving,
    triton_of,
)
from tests.server.wire import send

KEPT_TOKENS = 600
"""Of an answer that is read to its end; one that is cut may be as long as it likes."""


@pytest.fixture
def own(bundle: Path, tmp_path: Path) -> Iterator[Server]:
    """One for a test that hurts it."""
    with serving(bundle, tmp_path) as made:
        yield made


CALLS: dict[str, dict[str, Any]] = {
    "completions": {"prompt": "a seat"},
    "chat/completions": {"messages": [{"role": "user", "content": "a seat"}]},
    "fim/completions": {"prompt": "a seat"},
    "responses": {"input": "a seat"},
    "messages": {"messages": [{"role": "user", "content": "a seat"}], "max_tokens": 8},
}


def test_each_endpoint_of_openais_face_goes_to_the_model_that_is_named(own: Server) -> None:
    """On a server that nobody else asks: what is counted is published some time after the answer."""

    def counted() -> list[float]:
        return [own.metric("trimode_requests_total", model_name=name) for name in (FIRST, SECOND)]

    for endpoint, asked in CALLS.items():
        most = {} if endpoint in ("messages", "responses") else {"max_tokens": 8}
        status, found = complete(own, endpoint, model=SECOND, **asked, **most)
        assert (status, found["model"]) == (200, SECOND), endpoint
    wait_until(lambda: counted() == [0, len(CALLS)], lambda: f"{counted()}")


def backend_of(server: Server, model: str) -> psutil.Process:
    """The process in which a model of KServe's name runs."""
    (found,) = children(triton_of(server, model), "triton_python_backend_stub")
    return found


class Stream:
    """A long answer of one model that is read in a thread, event by event."""

    def __init__(self, server: Server, model: str, tokens: int = LONG["max_tokens"]) -> None:
        self.events: list[dict[str, Any]] = []
        self.ended = threading.Event()
        self._thread = threading.Thread(target=self._read, args=(server.http_port, model, tokens), daemon=True)
        self._thread.start()

    def _read(self, port: int, model: str, tokens: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=MOST_SECONDS)
        body = json.dumps({**LONG, "max_tokens": tokens, "stream": True})
        connection.request("POST", f"/v2/models/{model}/generate_stream", body)
        with connection.getresponse() as answer:
            for line in answer:
                if line.startswith(b"data: "):
                    self.events.append(json.loads(line[6:]))
        connection.close()
        self.ended.set()


def test_a_backend_that_dies_is_replaced_while_the_others_stream_goes_on(own: Server) -> None:
    kept, lost = Stream(own, SECOND_OF_KSERVE, KEPT_TOKENS), Stream(own, MODEL_NAME)
    wait_until(lambda: len(kept.events) > 3 and len(lost.events) > 3, own.log.read_text, MOST_SECONDS)
    process, other = backend_of(own, MODEL_NAME), backend_of(own, SECOND_OF_KSERVE)
    process.kill()
    assert lost.ended.wait(MOST_SECONDS)
    assert "error" in lost.events[-1]
    seen = len(kept.events)
    wait_until(lambda: len(kept.events) > seen + 3 or kept.ended.is_set(), own.log.read_text, MOST_SECONDS)
    wait_until(own.ready, own.log.read_text, MOST_SECONDS)
    assert kept.ended.wait(MOST_SECONDS)
    assert kept.events[-1]["finish_reason"] == "length"
    assert [generate(own, name, ASKED)[0] for name in (FIRST, SECOND)] == [200, 200]
    assert other.is_running() and backend_of(own, SECOND_OF_KSERVE) == other
    assert f"{FIRST}: the backend process {process.pid} died" in own.log.read_text()
    assert f"{SECOND}: the backend" not in own.log.read_text()


def test_while_a_model_is_away_the_server_is_not_ready_and_the_other_answers(own: Server, tmp_path: Path) -> None:
    graph, aside = tmp_path / "bundle" / "model.onnx", tmp_path / "aside"
    graph.rename(aside)  # it cannot come back before this does
    backend_of(own, SECOND_OF_KSERVE).send_signal(signal.SIGKILL)

    def is_away() -> bool:
        return send(own.http_port, "GET", f"/v2/models/{SECOND_OF_KSERVE}/ready")[0] == 503

    wait_until(is_away, own.log.read_text, MOST_SECONDS)
    assert generate(own, FIRST, ASKED)[0] == 200
    status, body = send(own.http_port, "GET", "/v2/models/stats")
    assert (status, [one["name"] for one in json.loads(body)["model_stats"]]) == (200, [MODEL_NAME])
    assert send(own.http_port, "GET", "/health")[0] == 503 and is_away()
    aside.rename(graph)
    wait_until(own.ready, own.log.read_text, MOST_SECONDS)
    assert generate(own, SECOND, ASKED)[0] == 200


def rename(bundle: Path, name: str) -> None:
    """Let a bundle be one that was built again, with a model of this name."""
    said = json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))
    (bundle / MANIFEST).write_text(json.dumps({**said, "model": name}), encoding="utf-8")
    digests.write(bundle)


def test_sighup_swaps_each_and_loses_no_answer(bundle: Path, tmp_path: Path) -> None:
    places = [shutil.copytree(bundle, tmp_path / name) for name in ("one", "two")]
    for place, name in zip(places, ("first", "second"), strict=True):
        rename(place, name)
    right: list[int] = []
    over = threading.Event()

    def call(server: Server, model: str) -> set[str]:
        """Ask again and again; the statuses and ids that came."""
        found = set()
        while not over.is_set():
            status, answer = generate(server, model, ASKED)
            found.add(f"{status} {answer.get('output_ids', answer)}")
        return found

    with Server(places[0], tmp_path / "log", "--bundle", str(places[1])) as server, ThreadPoolExecutor(2) as pool:
        right = generate(server, MODEL_NAME, ASKED)[1]["output_ids"]
        before = {backend_of(server, name).pid for name in (MODEL_NAME, "second")}
        calls = [pool.submit(call, server, name) for name in (MODEL_NAME, "second")]
        try:
            rename(places[1], "third")
            server.process.send_signal(signal.SIGHUP)
            wait_until(lambda: names_of(server) == ["first", "third"], server.log.read_text, MOST_SECONDS)
            wait_until(lambda: server.log.read_text().count("ready: ") >= 4, server.log.read_text, MOST_SECONDS)
            wait_until(server.ready, server.log.read_text, MOST_SECONDS)
        finally:
            over.set()
        assert [one.result(MOST_SECONDS) for one in calls] == [{f"200 {right}"}] * 2
        assert not before & {backend_of(server, name).pid for name in (MODEL_NAME, "second")}
        assert generate(server, "third", ASKED)[0] == 200  # a further name of "second", which KServe's clients keep
        rename(places[1], "first")
        server.process.send_signal(signal.SIGHUP)
        said = f"second: {STAYS}: serve_failed: two models have the name"
        wait_until(lambda: said in server.log.read_text(), server.log.read_text, MOST_SECONDS)
        assert names_of(server) == ["first", "third"]
    assert "restart" not in server.log.read_text()


def test_a_server_that_stops_lets_the_answers_of_each_finish_and_leaves_nothing(own: Server) -> None:
    request = {**LONG, "max_tokens": 200}
    with ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(generate, own, name, request) for name in (FIRST, SECOND)]
        for name in (FIRST, SECOND):
            own.wait_metric("trimode_requests_running", 1, model_name=name)
        own.process.send_signal(signal.SIGTERM)
        assert [one.result(MOST_SECONDS)[0] for one in answers] == [200, 200]
    assert own.wait(MOST_SECONDS) == 0
    assert own.shared_memory() == []


@pytest.mark.parametrize("hurt", [0, 1])
def test_one_that_cannot_start_fails_the_start_with_its_name(bundle: Path, tmp_path: Path, hurt: int) -> None:
    places = [shutil.copytree(bundle, tmp_path / name) for name in ("one", "two")]
    graph = places[hurt] / "model.onnx"
    graph.write_bytes(b"\xff" * graph.stat().st_size)
    digests.write(places[hurt])
    with ExitStack() as stack:
        server = Server(places[0], tmp_path / "log", "--bundle", str(places[1]), *NAMED)
        stack.callback(server.kill)
        assert server.wait(MOST_SECONDS) == 1
    last = server.log.read_text().splitlines()[-1]
    assert f"serve_failed: {(FIRST, SECOND)[hurt]}: " in last
    assert server.shared_memory() == []


def test_slots_that_take_all_memory_end_the_start(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIMODE_MAX_SLOTS", "auto")
    server = serving(bundle, tmp_path)
    assert server.wait(MOST_SECONDS) == 1
    said = (
        f"max_slots must be a number for {FIRST}, as 2 models share the memory, got auto, which takes all that is free"
    )
    assert said in server.log.read_text()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), 'two models have the name "nano"; tell them apart with --served-model-name, once for each bundle'),
        (("--served-model-name", "a"), "--served-model-name must be given once for each of the 2 bundles"),
        (("--served-model-name", "a", "--served-model-name", MODEL_NAME), "two models have the name"),
    ],
)
def test_names_that_do_not_tell_models_apart_end_the_start(
    bundle: Path, tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    server = Server(bundle, tmp_path / "log", "--bundle", str(bundle), *options)
    assert server.wait(MOST_SECONDS) == 1
    assert said in server.log.read_text()
