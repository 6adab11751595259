"""The measurements' pure parts: prompts, statistics, perf_analyzer's files, figures by domain, tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

PERF = Path(__file__).parents[3] / "perf"


@pytest.fixture
def heldout(tmp_path: Path) -> Path:
    path = tmp_path / "heldout.jsonl"
    asked = [
        {"domain": domain, "messages": [{"role": "user", "content": f"{domain} {number}"}], "answer": "a b"}
        for domain in ("sum", "list")
        for number in range(3)
    ]
    lines = [*asked, {"domain": "code", "prompt": "import"}]
    path.write_text("\n".join(json.dumps(line) for line in lines))
    return path


def test_domains_take_turns(perf: Any, heldout: Path) -> None:
    domains = [prompt.domain for prompt in perf("prompts").load(heldout, 2)]
    assert domains == ["code", "list", "sum", "list", "sum"]


def test_a_spread_of_prompts_is_even(perf: Any) -> None:
    assert perf("prompts").spread(list("abcdefgh"), 4) == list("aceg")


def test_a_prompt_without_messages_is_plain_text(perf: Any, heldout: Path) -> None:
    assert perf("prompts").load(heldout, 1)[0].wire == {"text_input": "import"}


@pytest.mark.parametrize(("text", "right"), [("a b", True), (" a  b\n", True), ("a", False), ("a b c", False)])
def test_a_right_answer_is_word_for_word(perf: Any, text: str, right: bool) -> None:
    assert perf("prompts").Prompt("d", answer="a b").answered_by(text) is right


def test_a_spread_is_the_median_and_the_quartiles(perf: Any) -> None:
    assert perf("stats").Spread.of([1, 2, 3, 4, 5]) == perf("stats").Spread(3.0, 2.0, 4.0)


def test_ratios_are_of_pairs(perf: Any) -> None:
    assert perf("stats").ratios([2, 9, 8], [1, 3, 2]).median == 3.0


def test_every_mode_has_a_plan(perf: Any) -> None:
    plans = perf("analyzer").plans()
    assert [plan.mode for plan in plans] == ["auto", "autoregressive", "diffusion", "self_speculation"]


def test_grpc_input_is_one_tensor_per_field(perf: Any, heldout: Path) -> None:
    plan = perf("analyzer").plans()[0]
    data = perf("analyzer").input_data(plan, "grpc_stream", perf("prompts").load(heldout, 1))["data"]
    assert data[0]["mode"] == {"content": ["auto"], "shape": [1]}
    assert data[0]["stream"] == {"content": [True], "shape": [1]}


def test_http_input_is_a_whole_body(perf: Any, heldout: Path) -> None:
    plan = perf("analyzer").plans()[0]
    data = perf("analyzer").input_data(plan, "http_generate", perf("prompts").load(heldout, 1))["data"]
    assert data[0]["payload"] == [{"text_input": "import", "mode": "auto", "max_tokens": plan.max_tokens}]


def test_figures_come_from_the_exported_timestamps(perf: Any) -> None:
    requests = [
        {"timestamp": 0, "response_timestamps": [2_000_000, 10_000_000], "response_outputs": [{}, {}]},
        {"timestamp": 10_000_000, "response_timestamps": [14_000_000, 30_000_000], "response_outputs": [{}, {}]},
    ]
    figures = perf("analyzer").figures({"experiments": [{"requests": requests}]})
    assert (figures["p50_ms"], figures["first_p50_ms"]) == (15.0, 3.0)
    assert figures["answers_per_second"] == pytest.approx(2 / 0.03)


def test_the_empty_end_of_an_http_stream_is_no_response(perf: Any) -> None:
    outputs = [{"response": "data: {}"}, {"response": ""}]
    request = {"timestamp": 0, "response_timestamps": [1_000_000, 5_000_000], "response_outputs": outputs}
    assert perf("analyzer").figures({"experiments": [{"requests": [request]}]})["p50_ms"] == 1.0


def test_counters_are_summed_before_they_are_divided(perf: Any) -> None:
    decoding = perf("decoding")
    counters = [{"output_tokens": 9, "forwards": 1}, {"output_tokens": 1, "forwards": 9}]
    answers = [decoding.Answer("d", "m", "t", c, True, False, True) for c in counters]
    assert decoding.figures(answers)["tokens_per_forward"] == 1.0


def test_answers_that_cannot_be_checked_are_not_wrong(perf: Any) -> None:
    decoding = perf("decoding")
    assert decoding.figures([decoding.Answer("d", "m", "t", {}, True, False, False)])["correct"] is None


def test_overhead_is_against_the_engine_time_of_the_same_round(perf: Any) -> None:
    bench, summary = perf("bench"), perf("summary")
    samples = [
        bench.Sample(r, 0, mode, path, seconds * r, 10, "t", seconds * r / 4 if path == "loop" else None)
        for r in (1, 2)
        for mode in bench.MODES
        for path, seconds in (("loop", 2.0), ("grpc", 3.0), ("http", 4.0))
    ]
    told = summary.summarise(samples)
    assert told["over_engine"]["diffusion"]["grpc"] == {"median": 6.0, "low": 6.0, "high": 6.0}
    assert told["paths_agree"]


def test_the_readme_shows_what_the_results_say(perf: Any) -> None:
    found = perf("report").read(PERF / "results")
    assert perf("readme").block(found) in (PERF.parent / "README.md").read_text(encoding="utf-8")


def test_int8_departures_count_once_an_answer_at_the_first_difference(perf: Any) -> None:
    told = perf("int8").departures([([1, 2, 3], [1, 2, 3]), ([1, 2, 3], [1, 9, 9]), ([1], [1, 2])])
    assert told == {"differing_answers": 2, "tokens_compared": 3 + 2 + 2, "per_1000_tokens": 2000 / 7}


def test_the_report_is_what_its_results_say(perf: Any) -> None:
    report = perf("report")
    assert report.text(report.read(PERF / "results")) == (PERF / "RESULTS.md").read_text(encoding="utf-8")
