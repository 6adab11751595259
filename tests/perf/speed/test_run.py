"""What becomes of a run of parts that end, stop or fail."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from trimode.bundle.manifest import CAUSAL_MODES, Manifest
from trimode.config import ServerConfig
from trimode_perf.speed import Book, Context, Options, Part, report, run
from trimode_perf.speed.causal import report as causal

from tests.support.toy import manifest


def part(name: str, found: dict[str, Any] | BaseException) -> Part:
    """A part that finds this, or stops with it."""

    def measure(context: Context) -> dict[str, Any]:
        context.progress(0.5)
        if isinstance(found, BaseException):
            raise found
        return found

    return Part(name, name, (name,), 1.0, measure)


def test_results_are_written_part_by_part_with_what_they_were_made_on(
    tmp_path: Path, options: Options, capsys: Any
) -> None:
    parts = [part("a", {"one": {"value": 1.23456789}, "two": {"value": 2}}), part("b", {}), part("c", {"three": {}})]
    assert run.measure(report.BOOK, parts, options, tmp_path, "make perf PART=a", None, []) == 0
    assert sorted(path.name for path in (tmp_path / "results").iterdir()) == ["one.json", "three.json", "two.json"]
    one = json.loads((tmp_path / "results" / "one.json").read_text())
    assert (one["value"], one["command"], one["hardware"]["model"]) == (1.2346, "make perf PART=a", manifest().model)
    assert "a took 0 s" in capsys.readouterr().out


def test_an_interruption_loses_the_part_that_runs_alone(
    tmp_path: Path, options: Options, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = [part("a", {"one": {}}), part("b", KeyboardInterrupt()), part("c", {"three": {}})]
    monkeypatch.setattr(run, "MEASURED", parts)
    assert run.main(["--bundle", str(tmp_path), "--out", str(tmp_path)]) == 130
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["one.json"]
    assert "interrupted; the results of one were written" in capsys.readouterr().err


@pytest.mark.parametrize(("words", "written"), [((), ["a", "c"]), (("--part", "b"), ["b"])])
def test_a_part_that_stands_apart_runs_by_its_name_alone(
    tmp_path: Path, options: Options, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], written: list[str]
) -> None:
    parts = [part("a", {"a": {}}), replace(part("b", {"b": {}}), apart=True), part("c", {"c": {}})]
    monkeypatch.setattr(run, "MEASURED", parts)
    monkeypatch.setattr(run, "NAMES", ["a", "b", "c"])
    assert run.main(["--bundle", str(options.bundle), "--out", str(tmp_path), *words]) == 0
    assert sorted(path.stem for path in (tmp_path / "results").iterdir()) == written


def test_a_part_that_fails_leaves_those_before_it(tmp_path: Path, options: Options) -> None:
    parts = [part("a", {"one": {}}), part("b", OSError("no disk")), part("c", {"three": {}})]
    with pytest.raises(OSError, match="no disk"):
        run.measure(report.BOOK, parts, options, tmp_path, "make perf", None, [])
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["one.json"]


@pytest.fixture
def causal_bundle(options: Options, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle whose checkpoint was not trained to denoise."""
    monkeypatch.setattr(Manifest, "load", lambda _: replace(manifest(), modes=CAUSAL_MODES))
    return options.bundle


def test_parts_that_need_denoising_are_left_out_by_name(
    tmp_path: Path, causal_bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(run, "CAUSAL", [part("chats", {"one": {}})])
    assert run.main(["--bundle", str(causal_bundle), "--model", "m", "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    left = [one.name for one in run.MEASURED if one.name != "chats"]
    assert f"left out, because {manifest().model} was not trained to denoise: {', '.join(left)}\n" in said
    assert "no report yet: its head needs the results peers" in said
    written = json.loads((tmp_path / "out" / "results" / f"{manifest().model}-one.json").read_text())
    assert written["command"] == "make perf MODEL=m"


@pytest.mark.parametrize(("part", "denoises"), [("auto", False), ("chats", True)])
def test_a_part_of_the_other_report_is_refused_before_anything_is_written(
    tmp_path: Path, part: str, denoises: bool, capsys: Any, request: pytest.FixtureRequest, options: Options
) -> None:
    if not denoises:
        request.getfixturevalue("causal_bundle")
    given = ["--bundle", str(options.bundle), "--part", part, "--out", str(tmp_path / "out")]
    assert run.main(given) == 1
    said = "that were trained" if part == "auto" else "that were not trained"
    assert f"part {part} is for checkpoints {said} to denoise" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_help_says_how_long_each_part_takes() -> None:
    text = run.parser().format_help()
    assert all(
        f"{one.seconds_hint:.0f} s  {one.title}" in text for one in (*report.PARTS, *causal.PARTS) if one.measure
    )


def test_a_stretch_of_a_part_shows_its_share_of_the_whole() -> None:
    shown: list[float] = []
    given = Context(Options(Path("b")), ServerConfig(bundle=Path("b")), 10.0, shown.append)
    pace = given.pace(0.25, 0.75)
    pace.progress(0.5)
    assert (pace.seconds, shown) == (5.0, [0.5])


def test_the_report_that_cannot_be_written_hides_no_error(
    tmp_path: Path, options: Options, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def broken(book: Book, out: Path, done: list[str]) -> None:
        raise ValueError("no report")

    monkeypatch.setattr(run, "show", broken)
    with pytest.raises(OSError, match="no disk"):
        run.measure(report.BOOK, [part("b", OSError("no disk"))], options, tmp_path, "make perf", None, [])
    assert "the report could not be written: ValueError('no report')" in capsys.readouterr().err


@pytest.mark.parametrize("only", ["startup", "passes", "timeline", "chats"])
def test_a_time_limit_is_refused_where_it_means_nothing(only: str, capsys: Any) -> None:
    with pytest.raises(SystemExit):
        run.main(["--bundle", "b", "--part", only, "--seconds", "5"])
    assert f"--seconds: {only} takes a fixed number of rounds, about " in capsys.readouterr().err


def test_a_time_limit_is_more_than_nothing(capsys: Any) -> None:
    with pytest.raises(SystemExit):
        run.main(["--bundle", "b", "--seconds", "0"])
    assert "expected more than 0, got 0" in capsys.readouterr().err
