"""The measurements' pure parts: prompts, statistics, perf_analyzer's files, figures by domain, the report."""

from __future__ import annotations

from pathlib import Path

import pytest
from trimode_perf.common import prompts, statistics
from trimode_perf.common.paths import PERF, PROJECT
from trimode_perf.speed import MODES, domains, int8, layers, perf_analyzer, plots, report


def test_domains_take_turns(heldout: Path) -> None:
    asked = [prompt.domain for prompt in prompts.load(heldout, 2)]
    assert asked == ["code", "list", "sum", "list", "sum"]


def test_a_spread_of_prompts_is_even() -> None:
    assert prompts.spread(list("abcdefgh"), 4) == list("aceg")


def test_a_prompt_without_messages_is_plain_text(heldout: Path) -> None:
    assert prompts.load(heldout, 1)[0].wire == {"text_input": "import"}


@pytest.mark.parametrize(("text", "right"), [("a b", True), (" a  b\n", True), ("a", False), ("a b c", False)])
def test_a_right_answer_is_word_for_word(text: str, right: bool) -> None:
    assert prompts.Prompt("d", answer="a b").answered_by(text) is right


def test_a_spread_is_the_median_and_the_quartiles() -> None:
    assert statistics.Spread.of([1, 2, 3, 4, 5]) == statistics.Spread(3.0, 2.0, 4.0)


def test_ratios_are_of_pairs() -> None:
    assert statistics.ratios([2, 9, 8], [1, 3, 2]).median == 3.0


def test_every_mode_has_a_plan() -> None:
    plans = perf_analyzer.plans()
    assert [plan.mode for plan in plans] == ["auto", "autoregressive", "diffusion", "self_speculation"]


def test_grpc_input_is_one_tensor_per_field(heldout: Path) -> None:
    plan = perf_analyzer.plans()[0]
    data = perf_analyzer.input_data(plan, "grpc_stream", prompts.load(heldout, 1))["data"]
    assert data[0]["mode"] == {"content": ["auto"], "shape": [1]}
    assert data[0]["stream"] == {"content": [True], "shape": [1]}


def test_http_input_is_a_whole_body(heldout: Path) -> None:
    plan = perf_analyzer.plans()[0]
    data = perf_analyzer.input_data(plan, "http_generate", prompts.load(heldout, 1))["data"]
    assert data[0]["payload"] == [{"text_input": "import", "mode": "auto", "max_tokens": plan.max_tokens}]


def test_figures_come_from_the_exported_timestamps() -> None:
    requests = [
        {"timestamp": 0, "response_timestamps": [2_000_000, 10_000_000], "response_outputs": [{}, {}]},
        {"timestamp": 10_000_000, "response_timestamps": [14_000_000, 30_000_000], "response_outputs": [{}, {}]},
    ]
    figures = perf_analyzer.figures({"experiments": [{"requests": requests}]})
    assert (figures["p50_ms"], figures["first_p50_ms"]) == (15.0, 3.0)
    assert figures["answers_per_second"] == pytest.approx(2 / 0.03)


def test_the_empty_end_of_an_http_stream_is_no_response() -> None:
    outputs = [{"response": "data: {}"}, {"response": ""}]
    request = {"timestamp": 0, "response_timestamps": [1_000_000, 5_000_000], "response_outputs": outputs}
    assert perf_analyzer.figures({"experiments": [{"requests": [request]}]})["p50_ms"] == 1.0


def test_counters_are_summed_before_they_are_divided() -> None:
    counters = [{"output_tokens": 9, "forwards": 1}, {"output_tokens": 1, "forwards": 9}]
    answers = [domains.Answer("d", "m", "t", c, True, False, True) for c in counters]
    assert domains.figures(answers)["tokens_per_forward"] == 1.0


def test_answers_that_cannot_be_checked_are_not_wrong() -> None:
    assert domains.figures([domains.Answer("d", "m", "t", {}, True, False, False)])["correct"] is None


def test_overhead_is_against_the_engine_time_of_the_same_round() -> None:
    samples = [
        layers.Sample(r, 0, mode, path, seconds * r, 10, "t", seconds * r / 4 if path == "loop" else None)
        for r in (1, 2)
        for mode in MODES
        for path, seconds in (("loop", 2.0), ("grpc", 3.0), ("http", 4.0))
    ]
    found = layers.summarise(samples)
    assert found["over_engine"]["diffusion"]["grpc"] == {"median": 6.0, "low": 6.0, "high": 6.0}
    assert found["paths_agree"]


def test_the_readme_shows_what_the_results_say() -> None:
    found = report.read(PERF / "results")
    assert report.block(found) in (PROJECT / "README.md").read_text(encoding="utf-8")


def test_int8_departures_count_once_an_answer_at_the_first_difference() -> None:
    found = int8.departures([([1, 2, 3], [1, 2, 3]), ([1, 2, 3], [1, 9, 9]), ([1], [1, 2])])
    assert found == {"differing_answers": 2, "tokens_compared": 3 + 2 + 2, "per_1000_tokens": 2000 / 7}


def test_the_report_is_what_its_results_say() -> None:
    assert report.text(report.read(PERF / "results")) == (PERF / "RESULTS.md").read_text(encoding="utf-8")


def test_every_part_has_a_name_of_its_own_and_says_how_long_it_takes() -> None:
    assert len({part.name for part in report.PARTS}) == len(report.PARTS)
    assert all(bool(part.seconds_hint) == bool(part.measure) for part in report.PARTS)


def test_a_part_that_was_not_measured_has_no_section_and_claims_nothing() -> None:
    found = report.read(PERF / "results")
    del found["peers"], found["int8"]
    text = report.text(found)
    assert "## int8" not in text
    assert "torch eager" not in text
    assert "## Auto, by domain" in text


def test_a_part_that_was_measured_by_itself_says_when() -> None:
    found = report.read(PERF / "results")
    found["int8"] = {**found["int8"], "measured_at": "2031-01-01 00:00 UTC", "command": "make perf PART=int8"}
    said = "Measured by itself, by `make perf PART=int8` on 2031-01-01 00:00 UTC.\n"
    assert report.text(found).count("Measured by itself") == 1
    assert said in report.text(found).partition("## int8")[2].partition("\n## ")[0] + "\n"
    found["int8"]["hardware"] = {**found["int8"]["hardware"], "cores": 64}
    assert "00:00 UTC on AMD EPYC, 64 cores" in report.text(found)


def test_the_report_is_not_written_without_what_its_head_needs(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    assert report.write(tmp_path, None) is None
    assert not (tmp_path / "RESULTS.md").exists()


def test_the_report_and_the_readme_are_written_from_the_results(tmp_path: Path) -> None:
    (tmp_path / "results").symlink_to(PERF / "results")
    readme = tmp_path / "README.md"
    readme.write_text("# A\n\n<!-- results -->\nold\n<!-- /results -->\n\nB\n")
    assert report.write(tmp_path, readme) == tmp_path / "RESULTS.md"
    assert (tmp_path / "RESULTS.md").read_bytes() == (PERF / "RESULTS.md").read_bytes()
    block = report.block(report.read(PERF / "results"))
    assert readme.read_text() == f"# A\n\n<!-- results -->\n{block}\n<!-- /results -->\n\nB\n"
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == [
        "latency.png",
        "steps.png",
        "throughput.png",
    ]


def test_what_was_not_measured_is_not_drawn(tmp_path: Path) -> None:
    found = report.read(PERF / "results")
    plots.draw({"sweep": found["sweep"], "perf_analyzer": {"missing": "no network", "rows": []}}, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["steps.png"]


@pytest.mark.parametrize("mode", MODES)
def test_the_shipped_input_is_made_of_the_held_out_prompts(mode: str) -> None:
    assert perf_analyzer.shipped(mode).read_text(encoding="utf-8") == perf_analyzer.shipped_text(mode)
