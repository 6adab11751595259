"""What the benchmark says of auto, crowds, lengths and stages, on a toy engine and on figures made up here."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from trimode.auto.acceptance import DraftStats
from trimode.auto.similar_requests import token_buckets
from trimode.errors import RequestError
from trimode.runtime import Runtime

from tests.support.toy import ToyEngine, toy_runtime

TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    runtime = toy_runtime(ToyEngine(), TEMPLATE)
    yield runtime
    runtime.close()


@pytest.fixture
def prompts(perf: Any) -> list[Any]:
    made = perf("prompts").Prompt
    asked = [made(f"d{n % 2}", messages=({"role": "user", "content": "x" * (3 + n)},), answer="y") for n in range(4)]
    return [*asked, made("code", text="import")]


def spread(value: float) -> dict[str, float]:
    return {"median": value, "low": value, "high": value}


def results(**changed: float) -> dict[str, Any]:
    """Results of a run in which everything holds, but for what is changed."""
    figure = {
        "loop": 1.04, "grpc": 1.08, "torch": 4.5, "speculation": 2.1, "diffusion": 2.6, "auto_ms": 50.0,
        "auto_rate": 100.0, "batch": 2.6, "start": 2.5, **changed,
    }  # fmt: skip
    modes = ("autoregressive", "diffusion", "self_speculation", "auto")
    speeds = {"autoregressive": 1.0, "diffusion": figure["diffusion"], "self_speculation": figure["speculation"]}
    rows = [
        {
            "concurrency": level,
            "choice": choice,
            "against_auto": spread(rate / figure["auto_rate"]),
            "against_alone": spread(batch),
        }
        for level in (1, 8)
        for choice, rate, batch in (
            ("autoregressive", 80.0, figure["batch"]),
            ("self_speculation", 100.0, 1.0),
            ("diffusion", 900.0, 1.0),
            ("auto", figure["auto_rate"], 1.0),
        )
    ]
    return {
        "bench": {
            "summary": {
                "over_engine": {m: {"loop": spread(figure["loop"]), "grpc": spread(figure["grpc"])} for m in modes},
                "speed_against_autoregressive": {
                    mode: {"engine": {"per_token": spread(speeds.get(mode, 1.5))}} for mode in modes
                },
            }
        },
        "peers": {
            "rows": [
                {
                    "peer": "torch",
                    "mode": "diffusion",
                    "times_ours": spread(figure["torch"]),
                    "times_products": spread(2.0),
                }
            ]
        },
        "domains": {
            "domains": {
                "long": {"autoregressive": 90.0, "self_speculation": 50.0, "auto": figure["auto_ms"]},
                "short": {"autoregressive": 20.0, "self_speculation": 40.0, "auto": 21.0},
            }
        },
        "concurrency": {"rows": rows, "equal_to_alone": True, "sampled_equal_to_alone": True},
        "startup": {"seconds": spread(figure["start"])},
    }


def failing(perf: Any, found: dict[str, Any]) -> list[str]:
    return [line for line, holds in perf("held").claims(found) if not holds]


def test_where_all_holds_no_line_fails(perf: Any) -> None:
    assert failing(perf, results()) == []
    assert all(line.startswith("pass  ") for line in perf("held").text(results()).splitlines())


@pytest.mark.parametrize(
    ("changed", "value", "said"),
    [
        ("loop", 1.06, "the control loop in process takes 1.06 times"),
        ("grpc", 1.11, "Triton over gRPC takes 1.11 times"),
        ("torch", 3.9, "torch eager takes 3.9 times as long in diffusion"),
        ("speculation", 1.9, "self-speculation or auto is 1.90 times"),
        ("diffusion", 2.4, "diffusion is 2.40 times"),
        ("auto_ms", 53.0, "1 of 2 domains; least in long: 94%"),
        ("auto_rate", 94.0, "94% (94% to 94%) of the speed of the best fixed choice at 8 at once (self_speculation)"),
        ("batch", 2.4, "autoregressive at 8 at once gives 2.40 times"),
        ("start", 3.1, "ready after 3.1 s"),
    ],
)
def test_what_does_not_hold_fails_with_its_figure(perf: Any, changed: str, value: float, said: str) -> None:
    failed = failing(perf, results(**{changed: value}))
    assert failed
    assert any(said in line for line in failed)


def test_a_share_has_the_spread_of_its_pairs(perf: Any) -> None:
    found = results()
    rows = [row for row in found["concurrency"]["rows"] if row["concurrency"] == 8]
    for row in rows:
        if row["choice"] == "self_speculation":
            row["against_auto"] = {"median": 1.25, "low": 1.0, "high": 2.0}
    choice, share = perf("held").by_level(found["concurrency"])[8]
    assert (choice, share.median, share.low, share.high) == ("self_speculation", 0.8, 0.5, 1.0)


def test_a_choice_is_set_against_auto_prompt_by_prompt_in_one_round(perf: Any) -> None:
    auto = [[10.0, 1.0], [20.0, 1.0], [30.0, 1.0]]  # a round each, of two prompts
    other = [[20.0, 3.0], [20.0, 3.0], [60.0, 3.0]]
    assert perf("choices")._against(auto, {"auto": auto, "other": other}) == {"auto": 21.0, "other": 20.0 * 2 + 3}


def test_a_peer_without_products_has_a_line_all_the_same(perf: Any) -> None:
    found = results()
    del found["peers"]["rows"][0]["times_products"]
    assert failing(perf, found) == []


def test_an_answer_that_depends_on_the_load_fails(perf: Any) -> None:
    found = results()
    found["concurrency"]["sampled_equal_to_alone"] = False
    assert [line for line in failing(perf, found) if "sampled with a seed differ" in line]


def test_the_best_single_choice_is_the_one_that_is_best_over_all(perf: Any) -> None:
    choice, share = perf("held").overall(results()["domains"])
    assert (choice, share) == ("self_speculation", pytest.approx(90.0 / 71.0))


@pytest.mark.parametrize("size", [1, 3, 9])
def test_a_crowd_gets_the_answers_that_each_gets_alone(
    perf: Any, runtime: Runtime, prompts: list[Any], size: int
) -> None:
    asked = [{**prompt.fields, "mode": "self_speculation"} for prompt in prompts]
    alone = [runtime.generate({**one, "max_tokens": 9}) for one in asked]
    crowd = perf("crowd").ask_together(runtime, asked, size, 9)
    assert crowd.texts == [chunk.text for chunk in alone]
    assert crowd.tokens == sum(chunk.counters.output_tokens for chunk in alone)
    assert all(0 < answer.first_seconds <= answer.seconds <= crowd.seconds for answer in crowd.answers)


def test_a_crowd_with_a_bad_request_fails(perf: Any, runtime: Runtime, prompts: list[Any]) -> None:
    asked = [prompts[0].fields, {**prompts[1].fields, "temperature": -1.0}]
    with pytest.raises(RequestError, match="temperature"):
        perf("crowd").ask_together(runtime, asked, 1, 5)


def test_auto_is_compared_in_every_domain(perf: Any, runtime: Runtime, prompts: list[Any]) -> None:
    choices = perf("choices")
    found = choices.by_domain(runtime, prompts, choices.Learnt(runtime, prompts[:1], 6), 6, 0.001, lambda share: None)
    assert sorted(found["domains"]) == ["code", "d0", "d1"]
    assert all(set(taken) == {*choices.FIXED, "auto"} for taken in found["domains"].values())
    assert found["same_text"]


def test_every_choice_is_crowded_at_every_level(perf: Any, runtime: Runtime, prompts: list[Any]) -> None:
    choices = perf("choices")
    found = choices.by_concurrency(
        runtime, prompts, choices.Learnt(runtime, prompts[:1], 6), 6, 0.001, lambda share: None
    )
    assert len(found["rows"]) == len(choices.LEVELS) * (len(choices.FIXED) + 2)
    assert found["equal_to_alone"] is found["sampled_equal_to_alone"] is True
    for row in found["rows"]:
        assert 0 < row["first_p50_ms"] <= row["p50_ms"] <= row["p95_ms"] <= row["p99_ms"]
        if row["choice"] in ("autoregressive", "auto"):
            assert row[f"against_{row['choice']}"]["median"] == 1.0


def test_lengths_are_those_that_the_engine_can_hold(perf: Any, runtime: Runtime, prompts: list[Any]) -> None:
    growth = perf("growth")
    found = growth.measure(runtime, prompts, 0.001, lambda share: None)
    lengths = {axis: {row["tokens"] for row in found["rows"] if row["axis"] == axis} for axis in ("prompt", "output")}
    assert lengths == {"prompt": {64, 128, 256}, "output": {16, 32, 64, 128, 256}}
    assert all(row["first_milliseconds"]["median"] <= row["milliseconds"]["median"] for row in found["rows"])


def test_the_stages_of_an_answer_add_up_and_leave_the_runtime_as_it_was(
    perf: Any, runtime: Runtime, prompts: list[Any]
) -> None:
    timeline = perf("timeline")
    before = runtime.generate({**prompts[0].fields, "max_tokens": 6}).text
    found = timeline.measure(runtime, prompts[:2], ("autoregressive", "auto"), 6)
    for stages in found["modes"].values():
        assert sum(stages[name] for name in timeline.STAGES) == pytest.approx(stages["total"], rel=0.5)
        assert stages["passes"] >= 2
    assert found["again"]["check"] > 0
    assert found["again"]["prompt"] > 0
    assert runtime.generate({**prompts[0].fields, "max_tokens": 6}).text == before
    assert not {"_plan", "_apply", "submit", "attend"} & {*vars(runtime._scheduler), *vars(runtime._queue)}


def test_memory_is_of_the_processes_below_one(perf: Any) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        held = perf("startup").memory(child.pid)
        everything = perf("startup").memory(os.getpid())
        child.communicate(b"\n")
    assert len(held) == 1
    assert 0 < sum(held.values()) < sum(everything.values())


def test_what_auto_learns_of_a_timed_prompt_is_forgotten(perf: Any, runtime: Runtime, prompts: list[Any]) -> None:
    learnt = perf("choices").Learnt(runtime, prompts[:2], 9)
    auto, stats = runtime.auto, DraftStats()
    known = auto.similar.prior(token_buckets([1])).verifications
    stats.add_verification(3, 8, 0)
    auto.similar.add(token_buckets([1]), stats)
    assert auto.similar.prior(token_buckets([1])).verifications != known
    learnt.put_back()
    assert auto.similar.prior(token_buckets([1])).verifications == known


def test_each_domain_is_halved(perf: Any, prompts: list[Any]) -> None:
    first, second = perf("prompts").halves(prompts)
    assert [prompt.domain for prompt in first] == ["d0", "d1", "code"]
    assert [prompt.domain for prompt in second] == ["d0", "d1"]
