"""How a draft is verified, and how long it may then be."""

from __future__ import annotations

from dataclasses import replace

import pytest
from trimode.api.block_defaults import QUADRATIC_LENGTH, resolve_block
from trimode.api.fields import Mode
from trimode.api.params import GenerationParams

from tests.support.parsing import DEFAULTS, parse, unparsed

QUADRATIC: dict[str, object] = {"text_input": "a", "speculation": "quadratic"}


def test_speculation_picks_the_mode_that_has_it() -> None:
    assert parse(speculation="quadratic").mode is Mode.SELF_SPECULATION
    assert parse(speculation="linear").echo()["speculation"] == "linear"


@pytest.mark.parametrize(("trained", "longest", "block"), [(8, 32, 8), (32, 32, QUADRATIC_LENGTH), (32, 5, 5)])
def test_a_draft_is_as_long_as_the_model_and_the_engine_allow(trained: int, longest: int, block: int) -> None:
    values: dict[str, object] = {"speculation": "quadratic"}
    resolve_block(values, Mode.SELF_SPECULATION, trained, longest)
    assert (values["block_length"], values["threshold"]) == (block, 0.0)


@pytest.mark.parametrize("block", [1, 33])
def test_a_draft_has_a_least_and_a_largest_length(block: int) -> None:
    error = unparsed({**QUADRATIC, "block_length": block})
    assert (error.field, error.error_type) == ("block_length", "invalid_value")
    assert "between 2 and 32" in error.limit


@pytest.mark.parametrize("knob", [{"denoise_steps": 2}, {"threshold": 0.5}, {"reveal": "steps"}])
def test_what_shapes_drafting_passes_is_refused_where_there_are_none(knob: dict[str, object]) -> None:
    error = unparsed({**QUADRATIC, **knob})
    assert (error.field, error.error_type) == (*knob, "not_applicable")


def test_a_plan_that_holds_shorter_drafts_says_how_to_have_longer_ones() -> None:
    defaults = replace(DEFAULTS, quadratic_length=5)
    assert GenerationParams.parse(QUADRATIC, defaults).block.block_length == 5
    error = unparsed({**QUADRATIC, "block_length": 8}, defaults)
    assert "between 2 and 5" in error.limit and "build it again with a larger --quadratic" in error.limit


def test_an_engine_with_short_passes_refuses_it() -> None:
    defaults = replace(DEFAULTS, quadratic_length=1)
    error = unparsed(QUADRATIC, defaults)
    assert (error.field, error.error_type) == ("speculation", "not_applicable")
    assert GenerationParams.parse({**QUADRATIC, "speculation": "linear"}, defaults).block.speculation == "linear"
