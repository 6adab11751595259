"""One knob from cheap to careful: its table on disk, what a value stands for, and that explicit knobs win."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from trimode.api.defaults import Defaults
from trimode.api.effort import EffortTable
from trimode.api.fields import Mode
from trimode.api.params import GenerationParams
from trimode.bundle.manifest import EFFORT
from trimode.errors import BundleError, RequestError
from trimode.runtime import Runtime

from tests.support.toy import EFFORTS, ToyEngine, byte_tokenizer, toy_config, toy_curve

DEFAULTS = Defaults(vocab_size=100, block_length=8, end_id=7, effort=EFFORTS)


def parse(**given: Any) -> GenerationParams:
    return GenerationParams.parse({"text_input": "a", "seed": 1, **given}, DEFAULTS)


def knobs(params: GenerationParams) -> tuple[int, int, float | None, str, int]:
    return (
        params.block.block_length,
        params.block.denoise_steps,
        params.block.threshold,
        params.block.reveal,
        params.revise.revise_rounds,
    )


# The table


@pytest.mark.parametrize(
    ("effort", "level"), [(0, 0), (0.2, 0), (0.4999, 0), (0.5, 1), (0.7, 1), (0.75, 2), (0.9, 2), (1, 2)]
)
def test_a_level_holds_from_its_effort_on(effort: float, level: int) -> None:
    assert EFFORTS.at(effort) == EFFORTS.levels[level]


def written(folder: Path, change: Callable[[dict[str, Any]], object] = lambda raw: None) -> Path:
    raw = {**asdict(EFFORTS), "engine": "e", "prompts": 9}
    raw["levels"] = list(raw["levels"])
    change(raw)
    path = folder / EFFORT
    path.write_text(json.dumps(raw), encoding="utf-8")
    return path


def test_a_table_is_read_from_its_file(tmp_path: Path) -> None:
    assert EffortTable.load(tmp_path / EFFORT) is None
    assert EffortTable.load(written(tmp_path)) == EFFORTS


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda raw: raw.pop("levels"), "levels"),
        (lambda raw: raw.pop("checkpoint_hash"), "checkpoint_hash"),
        (lambda raw: raw["levels"].clear(), "begin at 0"),
        (lambda raw: raw["levels"].pop(0), "begin at 0"),
        (lambda raw: raw["levels"].reverse(), "begin at 0"),
        (lambda raw: raw["levels"][1].update(effort=0.8), "ascend"),
        (lambda raw: raw["levels"][1].update(effort=1.5), "between 0.0 and 1.0"),
        (lambda raw: raw["levels"][1].update(effort=None), "effort"),
        (lambda raw: raw["levels"][1].update(threshold=2), "between 0.0 and 1.0"),
        (lambda raw: raw["levels"][1].update(denoise_steps=9), "at most block_length"),
        (lambda raw: raw["levels"][1].update(block_length=8.0), "integer"),
        (lambda raw: raw["levels"][1].update(block_length=65), "between 1 and 64"),
        (lambda raw: raw["levels"][1].update(accuracy="good"), "good"),
        (lambda raw: raw["levels"][1].update(more=1), "more"),
        (lambda raw: raw["levels"][1].pop("revise_rounds"), "revise_rounds"),
    ],
)
def test_a_table_that_is_not_one_is_refused_by_file_and_key(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], says: str
) -> None:
    with pytest.raises(BundleError, match=says) as caught:
        EffortTable.load(written(tmp_path, change))
    assert str(tmp_path / EFFORT) in str(caught.value) and "make quality" in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"levels": 3, "checkpoint_hash": ""}', "\x00"])
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / EFFORT).write_text(text, encoding="utf-8")
    with pytest.raises(BundleError, match=r"effort\.json cannot be used"):
        EffortTable.load(tmp_path / EFFORT)


# A request


@pytest.mark.parametrize(
    ("effort", "expected"),
    [(0, (8, 1, None, "steps", 0)), (0.5, (8, 8, 0.7, "threshold", 0)), (1, (4, 4, 0.9, "threshold", 3))],
)
def test_effort_sets_the_knobs_and_means_diffusion(effort: float, expected: tuple[Any, ...]) -> None:
    params = parse(effort=effort)
    assert (params.mode, knobs(params)) == (Mode.DIFFUSION, expected)
    echo = params.echo()
    assert echo["effort"] == effort
    assert tuple(echo[name] for name in ("block_length", "denoise_steps", "threshold")) == expected[:3]


def test_without_effort_the_echo_says_none() -> None:
    assert parse(mode="diffusion").echo()["effort"] is None
    assert "effort" not in parse(mode="autoregressive").echo()


@pytest.mark.parametrize(
    ("effort", "given", "expected"),
    [
        (1, {"block_length": 8}, (8, 4, 0.9, "threshold", 3)),
        (0.5, {"block_length": 4}, (4, 4, 0.7, "threshold", 0)),
        (0.5, {"denoise_steps": 3}, (8, 3, 0.7, "threshold", 0)),
        (0.5, {"threshold": 0.2}, (8, 8, 0.2, "threshold", 0)),
        (0, {"threshold": 0.2}, (8, 1, 0.2, "threshold", 0)),
        (0, {"reveal": "margin"}, (8, 1, 0.9, "margin", 0)),
        (0.5, {"reveal": "steps"}, (8, 8, None, "steps", 0)),
        (0.5, {"reveal": "leftmost"}, (8, 8, 0.7, "leftmost", 0)),
        (1, {"revise_rounds": 0}, (4, 4, 0.9, "threshold", 0)),
        (0, {"revise_rounds": 2}, (8, 1, None, "steps", 2)),
    ],
)
def test_explicit_knobs_win_each_on_its_own(effort: float, given: dict[str, Any], expected: tuple[Any, ...]) -> None:
    assert knobs(parse(effort=effort, **given)) == expected


def test_a_block_wider_than_the_servers_is_cut_with_its_steps() -> None:
    narrow = replace(DEFAULTS, block_length=4)
    params = GenerationParams.parse({"text_input": "a", "effort": 0.5}, narrow)
    assert (params.block.block_length, params.block.denoise_steps) == (4, 4)


@pytest.mark.parametrize("mode", ["autoregressive", "self_speculation"])
def test_modes_whose_text_it_could_not_change_refuse_it(mode: str) -> None:
    with pytest.raises(RequestError, match="effort applies to mode diffusion") as caught:
        parse(effort=0.5, mode=mode)
    assert caught.value.error_type == "not_applicable"


@pytest.mark.parametrize("value", [-0.1, 1.5, "a", True, float("nan"), float("inf")])
def test_what_is_no_effort_is_refused_with_field_limit_and_value(value: object) -> None:
    with pytest.raises(RequestError) as caught:
        parse(effort=value)
    assert caught.value.field == "effort" and caught.value.limit


@pytest.mark.parametrize("effort", [0, 0.5, 1])
def test_gaps_keep_their_windows_and_texts_their_rounds(effort: float) -> None:
    level = EFFORTS.at(effort)
    gap = parse(effort=effort, suffix="b")
    found = (gap.block.block_length, gap.block.denoise_steps, gap.block.threshold)
    assert found == (8, min(level.denoise_steps, 8), level.threshold)
    text = GenerationParams.parse({"text": "abc", "effort": effort}, DEFAULTS)
    assert (text.block.block_length, text.block.threshold) == (8, level.threshold)
    assert text.revise.revise_rounds == max(2, level.revise_rounds)


# The runtime


def ask(efforts: EffortTable | None) -> GenerationParams | RequestError:
    runtime = Runtime(ToyEngine(), byte_tokenizer(), toy_config(), efforts, toy_curve())
    try:
        return runtime.submit({"text_input": "a", "effort": 0.5, "max_tokens": 3}, lambda chunk: None).params
    except RequestError as error:
        return error
    finally:
        runtime.close(5.0)


def test_a_bundle_without_a_table_or_with_anothers_says_how_to_get_one() -> None:
    own = ToyEngine().manifest.checkpoint_hash
    found = ask(replace(EFFORTS, checkpoint_hash=own))
    assert isinstance(found, GenerationParams) and found.block.threshold == 0.7
    for table, says in ((None, "does not have"), (replace(EFFORTS, checkpoint_hash="other"), "another one")):
        refused = ask(table)
        assert isinstance(refused, RequestError) and refused.error_type == "not_applicable"
        assert says in refused.limit and "make quality" in refused.limit
