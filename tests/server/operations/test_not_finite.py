"""A server whose model gives NaN for one token: such a request is engine_failed, and every other answer is right."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.server.conftest import CHECKPOINT
from tests.server.server import Server
from tests.server.wire import events, generate
from tests.support.spoiled import spoil

BAD = 700
PROMPT = [65 + at % 20 for at in range(80)]
MODES = ["autoregressive", "diffusion", "self_speculation"]


@pytest.fixture(scope="module", params=["0", "64"], ids=["no cache", "prefix cache"])
def spoiled(request: pytest.FixtureRequest, bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("spoiled")
    with Server(
        spoil(bundle, CHECKPOINT, folder / "bundle", BAD), folder / "log", TRIMODE_PREFIX_CACHE_MIB=request.param
    ) as made:
        yield made


def asked(mode: str, place: int | None = None) -> dict[str, Any]:
    ids = [BAD if at == place else token for at, token in enumerate(PROMPT)]
    return {"input_ids": ids, "mode": mode, "max_tokens": 12, "end_id": -1, "return_finish_reason": True}


def test_it_is_engine_failed_beside_answers_that_are_right(spoiled: Server) -> None:
    clean = {mode: generate(spoiled.http_port, asked(mode)) for mode in MODES}
    assert all(status == 200 and body["text_output"] for status, body in clean.values())
    failed_before = spoiled.metric("trimode_requests_total", outcome="error")
    sent = [asked(mode, place) for mode in MODES for place in (None, 0, 50, None, 79, None)] * 2
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda request: generate(spoiled.http_port, request), sent))
    for request, (status, body) in zip(sent, answers, strict=True):
        if BAD in request["input_ids"]:
            assert status == 500
            assert body["error"].startswith("engine_failed: ")
            assert "/" not in body["error"]
        else:
            assert (status, body) == clean[request["mode"]]
    spoiled.wait_metric("trimode_requests_total", failed_before + 18, outcome="error")
    assert spoiled.ready()
    assert {mode: generate(spoiled.http_port, asked(mode)) for mode in MODES} == clean


def test_a_stream_ends_with_the_error(spoiled: Server) -> None:
    got = list(events(spoiled.http_port, {**asked("autoregressive", 79), "stream": True}))
    assert [event["error"].split(":")[0] for event in got] == ["engine_failed"]
