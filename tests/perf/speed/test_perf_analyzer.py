"""perf_analyzer's files, and what becomes of its run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from trimode.config import ServerConfig
from trimode_perf.common import NANO
from trimode_perf.common.prompts import HELD_OUT, claimed, load, spread
from trimode_perf.speed import MODES, Context, Options, perf_analyzer


def test_every_mode_has_a_plan() -> None:
    plans = perf_analyzer.plans()
    assert [plan.mode for plan in plans] == ["auto", "autoregressive", "diffusion", "self_speculation"]


def test_grpc_input_is_one_tensor_per_field(heldout: Path) -> None:
    plan = perf_analyzer.plans()[0]
    data = perf_analyzer.input_data(plan, "grpc_stream", load(heldout, 1))["data"]
    assert data[0]["mode"] == {"content": ["auto"], "shape": [1]}
    assert data[0]["stream"] == {"content": [True], "shape": [1]}


def test_http_input_is_a_whole_body(heldout: Path) -> None:
    plan = perf_analyzer.plans()[0]
    data = perf_analyzer.input_data(plan, "http_generate", load(heldout, 1))["data"]
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


@pytest.mark.parametrize("mode", MODES)
def test_the_shipped_input_is_made_of_the_held_out_prompts(mode: str) -> None:
    plan = perf_analyzer.Plan.load(perf_analyzer.FOLDER / f"{mode}.yaml")
    timed = spread(claimed(load(NANO / HELD_OUT, 1)), Options.prompts)
    expected = json.dumps(perf_analyzer.input_data(plan, "grpc_stream", timed), indent=1) + "\n"
    assert perf_analyzer.shipped(mode).read_text(encoding="utf-8") == expected


@pytest.mark.subprocess
def test_without_perf_analyzer_its_part_says_why(
    options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "fetch"
    script.write_text("#!/bin/sh\necho 'perf_analyzer cannot be had: no network' >&2\nexit 1\n")
    script.chmod(0o755)
    monkeypatch.setattr(perf_analyzer, "FETCH", script)
    found = perf_analyzer.measure(Context(options, ServerConfig(bundle=tmp_path), 1.0))
    assert perf_analyzer.section(found) == "## perf_analyzer\n\nNot run here: perf_analyzer cannot be had: no network\n"


@pytest.mark.subprocess
def test_perf_analyzer_runs_against_a_server_with_the_shipped_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    program, fetch = tmp_path / "program", tmp_path / "fetch"
    export = {"experiments": [{"requests": [
        {"timestamp": 0, "response_timestamps": [1_000_000, 5_000_000], "response_outputs": [{}, {}]}
    ]}]}  # fmt: skip
    (tmp_path / "export.json").write_text(json.dumps(export))
    program.write_text(f"""#!/bin/sh
while [ "$1" != --profile-export-file ]; do shift; done
cp {tmp_path}/export.json "$2"
""")
    fetch.write_text(f"#!/bin/sh\necho {program}\n")
    for file in (program, fetch):
        file.chmod(0o755)
    monkeypatch.setattr(perf_analyzer, "FETCH", fetch)
    monkeypatch.setattr(perf_analyzer, "WORK", tmp_path / "work")
    assert perf_analyzer.main(["--url", "there:7", "--mode", "diffusion"]) == 0
    said = capsys.readouterr().out
    assert "-u there:7" in said
    assert f"--input-data {perf_analyzer.shipped('diffusion')}" in said
    assert "p50_ms 5," in said
