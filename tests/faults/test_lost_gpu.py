"""An engine that loses its GPU: the backend's process ends at once, callers get engine_failed, and another serves.

There is no GPU here: a file that the backend loads, as it loads an operator's reveal rules, lets a pass over one token
raise what the engines raise for CUDA's errors.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.callers import SHORT, WAYS, Asking, seconds_to_serve
from tests.faults.conftest import Record
from tests.server.server import Server, runs, wait_until

TOKEN = 700
LOSING = f"""
from trimode.decoding.reveal_rules.leftmost import RULE
from trimode.engines.lost import lost
from trimode.engines.onnx.engine import OnnxRuntimeEngine

run = OnnxRuntimeEngine.run


def losing(self, rows):
    if any({TOKEN} in row.tokens for row in rows):
        raise lost(700, "cudaStreamSynchronize failed with cudaErrorIllegalAddress (700)")
    return run(self, rows)


OnnxRuntimeEngine.run = losing
"""
LINE = "CUDA_ERROR_ILLEGAL_ADDRESS"


@pytest.mark.parametrize("way", WAYS)
def test_the_process_ends_at_once_and_another_one_serves(
    bundle: Path, tmp_path: Path, starter: Callable[..., Server], right: dict[str, str], record: Record, way: str
) -> None:
    (rule := tmp_path / "losing.py").write_text(LOSING, encoding="utf-8")
    # a canary that fails for 10 s would end it too: no test waits for that
    server = starter(bundle, "--canary-timeout", "600", TRIMODE_REVEAL_RULES=str(rule))
    stub = server.stub
    running = {way: Asking(server, way) for way in WAYS}
    since = time.monotonic()
    answer = WAYS[way](server, {**{k: v for k, v in SHORT.items() if k != "text_input"}, "input_ids": [5, TOKEN, 6]})
    assert (answer.text, answer.error_type) == ("", "engine_failed")
    assert "Address" not in answer.error
    for asked in running.values():
        cut = asked.answer()
        assert not cut.whole and cut.error_type == "engine_failed"
        cut.check(right["long"])
    for other in WAYS:
        seconds = seconds_to_serve(server, other, right["short"], since)
        record(f"a lost GPU, by {way}", other, seconds, answer=answer.error_type)
    wait_until(lambda: not runs(stub), lambda: f"{stub} is left")
    assert server.stub != stub
    log = server.log.read_text()
    assert f"the GPU is lost, so process {stub.pid} ends and another must take its place" in log
    assert f"the backend process {stub.pid} died; its streams were ended, restart 1" in log
    assert server.stop() == 0
