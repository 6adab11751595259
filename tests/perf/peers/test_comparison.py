"""The driver of the peers: what is paired, who is asked when, and what becomes of a worker that dies or hangs."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from trimode.bundle.manifest import CAUSAL_MODES
from trimode.runtime import Runtime
from trimode_perf.common.progress import Pace
from trimode_perf.common.prompts import Prompt
from trimode_perf.peers.comparison import Comparison, modes_of
from trimode_perf.peers.table import OURS
from trimode_perf.peers.workers import Workers

from tests.support.toy import ToyEngine, toy_runtime

PERF = Path(__file__).parents[3] / "perf"
WORKER = """
import json, os, sys, time
log, seconds, trouble = sys.argv[1], float(sys.argv[2]), sys.argv[3]
with open(log, "a") as file:
    print(os.getpid(), file=file)
if trouble == "no start":
    sys.exit("no module named peer")
print(json.dumps({"about": "fake", "modes": ["autoregressive", "diffusion"]}), flush=True)
for number, line in enumerate(sys.stdin):
    asked = json.loads(line)
    with open(log, "a") as file:
        print(asked["mode"], asked["input_ids"], asked["max_tokens"], asked["eos"], file=file)
    if trouble == "dies" and number == 3:
        sys.exit("out of memory")
    if trouble == "hangs" and number == 3:
        time.sleep(3600)
    if trouble == "refuses" and number == 3:
        print(json.dumps({"error": "IndexError: 7"}), flush=True)
        continue
    print(json.dumps({"ids": [1, 2], "seconds": seconds, "forwards": 1}), flush=True)
"""


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    runtime = toy_runtime(ToyEngine())
    yield runtime
    runtime.close()


@pytest.fixture
def fake(tmp_path: Path) -> Callable[..., list[str]]:
    """A function that gives the command of a worker that logs what it is asked and takes a moment."""
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    return lambda name, seconds=1.0, trouble="": [
        sys.executable, "-I", str(script), str(tmp_path / name), str(seconds), trouble
    ]  # fmt: skip


@pytest.fixture
def run(runtime: Runtime) -> Callable[..., dict[str, Any]]:
    def go(commands: dict[str, list[str]], **limits: float) -> dict[str, Any]:
        prompts = [Prompt("d", text=letter * 3) for letter in "abcd"]
        with Workers(commands, **limits) as workers:
            told: dict[str, Any] = Comparison({OURS: runtime}, prompts, 4, workers).run(Pace(0.01))
        return told

    return go


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def asked_of(log: Path) -> list[str]:
    return log.read_text().splitlines()[1:]


def row_of(told: dict[str, Any], peer: str, mode: str) -> dict[str, Any]:
    return next(row for row in told["rows"] if (row["peer"], row.get("mode")) == (peer, mode))


def test_everyone_is_asked_every_prompt_in_every_mode_once_a_round(
    run: Callable[..., dict[str, Any]], fake: Callable[..., list[str]], tmp_path: Path
) -> None:
    told = run({"one": fake("one"), "two": fake("two", 2.0)})
    assert (told["rounds"], told["prompts"], told["max_tokens"]) == (3, 4, 4)
    assert set(Counter(asked_of(tmp_path / "one")).values()) == {4}  # the warm-up, then three rounds
    assert len(set(asked_of(tmp_path / "one"))) == 4 * 2
    assert row_of(told, "two", "diffusion")["milliseconds"]["median"] == 2000.0
    assert [row["peer"] for row in told["rows"]] == ["this runtime"] * 4 + ["one"] * 2 + ["two"] * 2


def test_the_order_is_shuffled_and_always_the_same(
    run: Callable[..., dict[str, Any]], fake: Callable[..., list[str]], tmp_path: Path
) -> None:
    for name in ("one", "again"):
        run({"it": fake(name)})
    first = asked_of(tmp_path / "one")
    assert first == asked_of(tmp_path / "again")
    assert first[8:16] != first[16:24]


@pytest.mark.parametrize(
    ("trouble", "error"),
    [
        ("no start", "ended with status 1: no module named peer"),
        ("dies", "ended with status 1: out of memory"),
        ("hangs", "gave no answer within 2 s"),
        ("refuses", "IndexError: 7"),
    ],
)
def test_a_peer_in_trouble_is_a_row_that_says_so_and_the_others_go_on(
    run: Callable[..., dict[str, Any]], fake: Callable[..., list[str]], tmp_path: Path, trouble: str, error: str
) -> None:
    told = run({"bad": fake("bad", 1.0, trouble), "good": fake("good")}, answer_seconds=2.0)
    bad = [row for row in told["rows"] if row["peer"] == "bad"]
    assert len(bad) == 1
    assert bad[0]["error"].endswith(error)
    assert row_of(told, "good", "diffusion")["same_ids"] == 0.0
    pid, *asked = (tmp_path / "bad").read_text().splitlines()
    assert not alive(int(pid))
    assert len(asked) == (0 if trouble == "no start" else 4)  # nothing more after its trouble


def test_a_command_that_is_not_there_is_a_row(run: Callable[..., dict[str, Any]]) -> None:
    assert "cannot be started" in run({"bad": ["/nowhere/python"]})["rows"][-1]["error"]


def test_an_interrupt_ends_the_workers(runtime: Runtime, fake: Callable[..., list[str]], tmp_path: Path) -> None:
    prompts = [Prompt("d", text="abc")]

    def interrupt(share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):  # noqa: SIM117
        with Workers({"it": fake("it")}) as workers:
            Comparison({OURS: runtime}, prompts, 4, workers).run(Pace(0.01, interrupt))
    assert not alive(int((tmp_path / "it").read_text().splitlines()[0]))


def test_a_runtime_that_cannot_denoise_is_asked_in_one_mode(runtime: Runtime) -> None:
    assert modes_of(runtime) == ["autoregressive", "diffusion", "self_speculation", "auto"]
    runtime.manifest = replace(runtime.manifest, modes=CAUSAL_MODES)
    assert modes_of(runtime) == ["autoregressive"]
