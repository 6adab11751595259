"""Recorded drafts: read back as written, and what the committed file says of itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from trimode.config import ServerConfig
from trimode.runtime import Runtime
from trimode_perf.common import NANO
from trimode_perf.common.prompts import HELD_OUT, load
from trimode_perf.speed.speculation.recording import LENGTHS, RECORDED, Recording, record


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    recording = Recording.load()
    recording.save(tmp_path / "again.json")
    assert Recording.load(tmp_path / "again.json") == recording
    assert (tmp_path / "again.json").read_text() == RECORDED.read_text()


def test_runs_are_within_their_drafts_and_the_answer() -> None:
    for answer in Recording.load().answers:
        for kind in (answer.apart, answer.ahead):
            assert tuple(kind) == LENGTHS
            for length, runs in kind.items():
                assert len(runs) == len(answer.tokens)
                assert all(0 <= run < length for run in runs)
                assert all(at + run <= len(answer.tokens) for at, run in enumerate(runs))


@pytest.mark.slow
@pytest.mark.subprocess  # chats are rendered in a process of their own
def test_runs_are_those_of_decoding(bundle_of: Callable[[Path], Path]) -> None:
    """Linear and quadratic drafts of 8 take as many passes as the recorded runs say."""
    runtime = Runtime.open(ServerConfig(bundle=bundle_of(NANO), threads=1, spin=False))
    try:
        for prompt in load(NANO / HELD_OUT, 1)[:4]:
            found = record(runtime, prompt, 48)
            asked = {**prompt.fields, "max_tokens": 48, "mode": "self_speculation", "block_length": 8}
            linear = runtime.generate(asked)
            at, cycles = 1, 0
            while at < len(found.tokens):
                at, cycles = at + found.apart[8][at - 1] + 1, cycles + 1
            assert linear.counters.verify_forwards == cycles
            quadratic = runtime.generate({**asked, "speculation": "quadratic"})
            at, passes, run = 1, 0, found.ahead[8][0]
            while at < len(found.tokens):
                at, passes = at + run + 1, passes + 1
                run = found.ahead[8][at - 1] if at < len(found.tokens) else 0
            assert abs(quadratic.counters.verify_forwards - passes) <= 1
    finally:
        runtime.close()
