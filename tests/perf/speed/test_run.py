"""What becomes of a run of parts that end, stop or fail, and of a run of perf_analyzer by itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from trimode.config import ServerConfig
from trimode_perf.speed import (
    Context,
    Options,
    Part,
    int8,
    peers,
    perf_analyzer,
    report,
    run,
)

from tests.support.toy import manifest


def given(folder: Path) -> Options:
    """A bundle with nothing but a manifest."""
    manifest().save(folder)
    return Options(folder)


def part(name: str, found: dict[str, Any] | BaseException) -> Part:
    """A part that finds this, or stops with it."""

    def measure(context: Context) -> dict[str, Any]:
        context.progress(0.5)
        if isinstance(found, BaseException):
            raise found
        return found

    return Part(name, name, (name,), 1.0, measure)


def test_results_are_written_part_by_part_with_what_they_were_made_on(tmp_path: Path, capsys: Any) -> None:
    parts = [part("a", {"one": {"value": 1.23456789}, "two": {"value": 2}}), part("b", {}), part("c", {"three": {}})]
    assert run.measure(parts, given(tmp_path), tmp_path, "make perf PART=a") == 0
    assert sorted(path.name for path in (tmp_path / "results").iterdir()) == ["one.json", "three.json", "two.json"]
    one = json.loads((tmp_path / "results" / "one.json").read_text())
    assert (one["value"], one["command"], one["hardware"]["model"]) == (1.2346, "make perf PART=a", manifest().model)
    assert "a took 0 s" in capsys.readouterr().out


def test_an_interruption_loses_the_part_that_runs_alone(tmp_path: Path, capsys: Any) -> None:
    parts = [part("a", {"one": {}}), part("b", KeyboardInterrupt()), part("c", {"three": {}})]
    assert run.measure(parts, given(tmp_path), tmp_path, "make perf") == 130
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["one.json"]
    assert "interrupted in b; the results of one were written" in capsys.readouterr().err


def test_a_part_that_fails_leaves_those_before_it(tmp_path: Path) -> None:
    parts = [part("a", {"one": {}}), part("b", OSError("no disk")), part("c", {"three": {}})]
    with pytest.raises(OSError, match="no disk"):
        run.measure(parts, given(tmp_path), tmp_path, "make perf")
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["one.json"]


def test_the_help_says_how_long_each_part_takes() -> None:
    text = run.parser().format_help()
    assert all(f"{one.seconds_hint:.0f} s  {one.title}" in text for one in report.PARTS if one.measure)


def test_a_part_whose_libraries_are_not_here_finds_nothing(tmp_path: Path) -> None:
    made = Context(given(tmp_path), ServerConfig(bundle=tmp_path), 1.0)
    assert peers.measure(made) == int8.measure(made) == {}


def test_without_perf_analyzer_its_part_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "fetch"
    script.write_text("#!/bin/sh\necho 'perf_analyzer cannot be had: no network' >&2\nexit 1\n")
    script.chmod(0o755)
    monkeypatch.setattr(perf_analyzer, "FETCH", script)
    found = perf_analyzer.measure(Context(given(tmp_path), ServerConfig(bundle=tmp_path), 1.0))
    assert perf_analyzer.section(found) == "## perf_analyzer\n\nNot run here: perf_analyzer cannot be had: no network\n"


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
