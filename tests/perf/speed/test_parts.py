"""What the parts measure on a toy engine."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from trimode.auto.acceptance import DraftStats
from trimode.auto.similar_requests import token_buckets
from trimode.config import ServerConfig
from trimode.engines.onnx.engine import OnnxRuntimeEngine
from trimode.errors import RequestError
from trimode.runtime import Runtime
from trimode_perf.common.ask import ask
from trimode_perf.common.prompts import Prompt, halves
from trimode_perf.speed import (
    Context,
    Options,
    Pace,
    auto,
    knobs,
    lengths,
    passes,
    startup,
    timeline,
    wire,
)

from tests.support.toy import ToyEngine, toy_runtime

TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    runtime = toy_runtime(ToyEngine(), TEMPLATE)
    yield runtime
    runtime.close()


@pytest.fixture
def prompts() -> list[Prompt]:
    asked = [Prompt(f"d{n % 2}", messages=({"role": "user", "content": "x" * (3 + n)},), answer="y") for n in range(4)]
    return [*asked, Prompt("code", text="import")]


def context(runtime: Runtime, prompts: list[Prompt]) -> Context:
    """What a part is given, with a runtime and prompts from here."""
    made = Context(Options(Path("no bundle"), max_tokens=6), ServerConfig(bundle=Path("no bundle")), 0.001)
    made.runtime, made.prompts, made.every = runtime, prompts, prompts
    return made


def spread(value: float) -> dict[str, float]:
    return {"median": value, "low": value, "high": value}


def test_a_choice_is_set_against_auto_prompt_by_prompt_in_one_round() -> None:
    own = [[10.0, 1.0], [20.0, 1.0], [30.0, 1.0]]  # a round each, of two prompts
    other = [[20.0, 3.0], [20.0, 3.0], [60.0, 3.0]]
    assert auto._against(own, {"auto": own, "other": other}) == {"auto": 21.0, "other": 20.0 * 2 + 3}


@pytest.mark.parametrize("size", [1, 3, 9])
def test_a_crowd_gets_the_answers_that_each_gets_alone(runtime: Runtime, prompts: list[Prompt], size: int) -> None:
    asked = [{**prompt.fields, "mode": "self_speculation"} for prompt in prompts]
    alone = [runtime.generate({**one, "max_tokens": 9}) for one in asked]
    crowd = ask(runtime, auto.streamed(asked, 9), size)
    assert crowd.texts == [chunk.text for chunk in alone]
    assert crowd.tokens == sum(chunk.counters.output_tokens for chunk in alone)
    assert all(0 < answer.first_seconds <= answer.seconds <= crowd.seconds for answer in crowd.answers)


def test_a_crowd_with_a_bad_request_fails(runtime: Runtime, prompts: list[Prompt]) -> None:
    asked = [prompts[0].fields, {**prompts[1].fields, "temperature": -1.0}]
    with pytest.raises(RequestError, match="temperature"):
        ask(runtime, auto.streamed(asked, 5), 1)


def test_auto_is_compared_in_every_domain(runtime: Runtime, prompts: list[Prompt]) -> None:
    found = auto.by_domain(runtime, prompts, auto.Learnt(runtime, prompts[:1], 6), 6, Pace(0.001))
    assert sorted(found["domains"]) == ["code", "d0", "d1"]
    assert all(set(taken) == {*auto.FIXED, "auto"} for taken in found["domains"].values())
    assert found["same_text"]


def test_every_choice_is_crowded_at_every_level(runtime: Runtime, prompts: list[Prompt]) -> None:
    found = auto.by_concurrency(runtime, prompts, auto.Learnt(runtime, prompts[:1], 6), 6, Pace(0.001))
    assert len(found["rows"]) == len(auto.LEVELS) * (len(auto.FIXED) + 2)
    assert found["equal_to_alone"] is found["sampled_equal_to_alone"] is True
    for row in found["rows"]:
        assert 0 < row["first_p50_ms"] <= row["p50_ms"] <= row["p95_ms"] <= row["p99_ms"]
        if row["choice"] in ("autoregressive", "auto"):
            assert row[f"against_{row['choice']}"]["median"] == 1.0


def test_lengths_are_those_that_the_engine_can_hold(runtime: Runtime, prompts: list[Prompt]) -> None:
    found = lengths.by_length(context(runtime, prompts))
    asked = {axis: {row["tokens"] for row in found["rows"] if row["axis"] == axis} for axis in ("prompt", "output")}
    assert asked == {"prompt": {64, 128, 256}, "output": {16, 32, 64, 128, 256}}
    assert all(row["first_milliseconds"]["median"] <= row["milliseconds"]["median"] for row in found["rows"])


def test_the_stages_of_an_answer_add_up_and_leave_the_runtime_as_it_was(
    runtime: Runtime, prompts: list[Prompt]
) -> None:
    before = runtime.generate({**prompts[0].fields, "max_tokens": 6}).text
    found = timeline.measure(context(runtime, prompts[:2]))["timeline"]
    for stages in found["modes"].values():
        assert sum(stages[name] for name in timeline.STAGES) == pytest.approx(stages["total"], rel=0.5)
        assert stages["passes"] >= 2
    assert found["again"]["check"] > 0
    assert found["again"]["prompt"] > 0
    assert runtime.generate({**prompts[0].fields, "max_tokens": 6}).text == before
    assert not {"_plan", "_apply", "submit", "attend"} & {*vars(runtime._scheduler), *vars(runtime._queue)}


def test_memory_is_of_the_processes_below_one() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        held = startup.memory(child.pid)
        everything = startup.memory(os.getpid())
        child.communicate(b"\n")
    assert len(held) == 1
    assert 0 < sum(held.values()) < sum(everything.values())


def test_what_auto_learns_of_a_timed_prompt_is_forgotten(runtime: Runtime, prompts: list[Prompt]) -> None:
    learnt = auto.Learnt(runtime, prompts[:2], 9)
    chooser, stats = runtime.auto, DraftStats()
    known = chooser.similar.prior(token_buckets([1])).verifications
    stats.add_verification(3, 8, 0)
    chooser.similar.add(token_buckets([1]), stats)
    assert chooser.similar.prior(token_buckets([1])).verifications != known
    learnt.put_back()
    assert chooser.similar.prior(token_buckets([1])).verifications == known


def test_each_domain_is_halved(prompts: list[Prompt]) -> None:
    first, second = halves(prompts)
    assert [prompt.domain for prompt in first] == ["d0", "d1", "code"]
    assert [prompt.domain for prompt in second] == ["d0", "d1"]


def test_rounds_that_warm_up_have_numbers_below_one() -> None:
    assert list(Pace(0.0).rounds(3, warm_up=2)) == [-1, 0, 1, 2, 3]


def test_a_stretch_of_a_part_shows_its_share_of_the_whole() -> None:
    shown: list[float] = []
    given = Context(Options(Path("b")), ServerConfig(bundle=Path("b")), 10.0, shown.append)
    pace = given.pace(0.25, 0.75)
    pace.progress(0.5)
    assert (pace.seconds, shown) == (5.0, [0.5])


def test_every_point_of_a_sweep_is_set_against_autoregressive(runtime: Runtime, prompts: list[Prompt]) -> None:
    found = knobs.measure(context(runtime, prompts))["sweep"]
    assert [row["value"] for row in found["rows"]] == [point.value for point in knobs.settings(32)]
    assert (found["rounds"], found["prompts"]) == (knobs.MIN_ROUNDS, knobs.MIN_PROMPTS)
    exact = [row for row in found["rows"] if row["mode"] == "self_speculation"]
    assert all(row["equals_autoregressive"] == 1.0 for row in exact)


def test_passes_of_every_size_are_set_against_one_token(monkeypatch: pytest.MonkeyPatch, runtime: Runtime) -> None:
    class Engine:
        def allocate(self, block: bool) -> int:
            return 0

        def run(self, rows: list[Any]) -> None:
            pass

    monkeypatch.setattr(OnnxRuntimeEngine, "open", lambda *args, **options: Engine())
    rows = passes.measure(context(runtime, []))["cost"]["rows"]
    assert [row["tokens"] for row in rows] == list(passes.SIZES)
    assert rows[0]["times_one"] == spread(1.0)


def test_a_refusal_over_http_is_an_error() -> None:
    class Refuses(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(400)
            self.end_headers()
            self.wfile.write(b'{"error": "no"}')

        def log_message(self, *args: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Refuses) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        with (
            closing(wire.HttpWire(f"127.0.0.1:{server.server_port}")) as http,
            pytest.raises(RuntimeError, match="400"),
        ):
            http.ask(Prompt("d", text="x"), "auto", 5)
        thread.join()
