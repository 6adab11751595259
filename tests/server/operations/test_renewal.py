"""SIGHUP: the server goes over to a bundle that was built again, and no answer is lost."""

from __future__ import annotations

import json
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from trimode.bundle import digests
from trimode.bundle.manifest import MANIFEST

from tests.server.server import Server, wait_until
from tests.server.wire import GrpcStream, generate, send

ASKED = {"input_ids": [5, 6, 7], "mode": "autoregressive", "max_tokens": 48}


@pytest.fixture
def place(bundle: Path, tmp_path: Path) -> Path:
    """A bundle of this test's own."""
    shutil.copytree(bundle, tmp_path / "bundle")
    return tmp_path / "bundle"


@pytest.fixture
def renewed(place: Path, tmp_path: Path) -> Iterator[Server]:
    made = Server(place, tmp_path / "log")
    made.wait_ready()
    try:
        yield made
    finally:
        made.stop()


def name_of(server: Server) -> str:
    """The name of the model that OpenAI's face serves, "" while it cannot say."""
    with suppress(OSError, KeyError, ValueError):
        return str(json.loads(send(server.http_port, "GET", "/v1/models")[1])["data"][0]["id"])
    return ""


def rename(place: Path, name: str) -> None:
    """Put a bundle in the place of the one that is served, which differs in its model's name."""
    other = place.with_name("other")
    shutil.copytree(place, other)
    manifest = json.loads((other / MANIFEST).read_text(encoding="utf-8"))
    manifest["model"] = name
    (other / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    digests.write(other)
    place.rename(place.with_name("former"))
    other.rename(place)


class Callers:
    """Two callers who ask one request after another, over HTTP and on one stream of gRPC, until they are stopped."""

    def __init__(self, server: Server) -> None:
        self.answers: list[Any] = []
        self._server = server
        self._over = threading.Event()
        self._threads = [threading.Thread(target=call, daemon=True) for call in (self._by_http, self._by_grpc)]

    def __enter__(self) -> Callers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *rest: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(120)
            assert not thread.is_alive()

    def _by_http(self) -> None:
        while not self._over.is_set():
            status, found = generate(self._server.http_port, ASKED)
            self.answers.append(found.get("text_output", (status, found)))

    def _by_grpc(self) -> None:
        with GrpcStream(self._server.grpc_port) as stream:
            while not self._over.is_set():
                stream.send(ASKED)
                found = list(stream.answers())[-1]
                self.answers.append(found["text_output"][0].decode() if "text_output" in found else found)


def test_a_bundle_that_was_built_again_is_served_without_a_lost_answer(place: Path, renewed: Server) -> None:
    right = generate(renewed.http_port, ASKED)[1]["text_output"]
    first = renewed.triton.pid
    with Callers(renewed) as callers:
        wait_until(lambda: len(callers.answers) > 4, renewed.log.read_text, 60)
        for name in ("second", "third"):
            shutil.rmtree(place.with_name("former"), ignore_errors=True)
            rename(place, name)
            renewed.process.send_signal(signal.SIGHUP)
            wait_until(lambda name=name: name_of(renewed) == name, renewed.log.read_text, 120)  # type: ignore[misc]
            wait_until(renewed.ready, renewed.log.read_text, 120)
            seen = len(callers.answers)
            wait_until(lambda seen=seen: len(callers.answers) > seen + 4, renewed.log.read_text, 60)  # type: ignore[misc]
    assert set(callers.answers) == {right}
    assert renewed.triton.pid != first
    assert "restart" not in renewed.log.read_text()


def test_a_bundle_that_cannot_be_served_leaves_the_former_one(place: Path, renewed: Server) -> None:
    first = renewed.triton.pid
    text = (place / MANIFEST).read_text(encoding="utf-8")
    (place / MANIFEST).write_text("{", encoding="utf-8")
    renewed.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "the former bundle stays" in renewed.log.read_text(), renewed.log.read_text, 60)
    (place / MANIFEST).write_text(text, encoding="utf-8")
    assert generate(renewed.http_port, ASKED)[0] == 200
    assert renewed.triton.pid == first
