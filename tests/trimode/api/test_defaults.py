"""What a request gets where it says nothing, and what the checkpoint must have for what it says."""

from __future__ import annotations

from dataclasses import replace

import pytest
from trimode.api.defaults import Defaults
from trimode.api.fields import Mode
from trimode.api.params import GenerationParams
from trimode.errors import RequestError

from tests.support.parsing import DEFAULTS, parse, unparsed

DIFFUSION, SPECULATION = "diffusion", "self_speculation"


def test_a_text_is_gone_through_twice_and_a_block_not_at_all_unless_asked() -> None:
    assert parse({"mode": DIFFUSION}).revise.revise_rounds == 0
    text = GenerationParams.parse({"text": "a"}, DEFAULTS)
    assert (text.revise.revise_rounds, text.revise.revise_threshold) == (2, -2.0)
    assert parse({"mode": DIFFUSION, "revise_rounds": 1}).revise.revise_threshold == -2.0
    error = unparsed({"text": "a", "revise_rounds": 0})
    assert (error.field, error.limit) == ("revise_rounds", "must be at least 1 to revise a text")


def test_the_draft_adapter_is_used_where_there_is_one() -> None:
    with_adapter = replace(DEFAULTS, adapter=True)
    modes = {mode: GenerationParams.parse({"text_input": "a", "mode": str(mode)}, with_adapter) for mode in Mode}
    assert [mode for mode, params in modes.items() if params.block.draft_adapter] == ["auto", SPECULATION]
    given = {"text_input": "a", "mode": SPECULATION, "draft_adapter": False}
    assert not GenerationParams.parse(given, with_adapter).block.draft_adapter


def test_a_draft_adapter_that_is_not_there_is_refused() -> None:
    error = unparsed({"text_input": "a", "mode": SPECULATION, "draft_adapter": True})
    assert (error.field, error.error_type) == ("draft_adapter", "not_applicable")


@pytest.mark.parametrize("name", ["end_id", "end_think_token_id"])
def test_a_token_must_be_in_the_vocabulary(name: str) -> None:
    assert "100" in unparsed({"text_input": "a", "max_thinking_tokens": 5, name: 100}).limit
    assert getattr(parse({name: 99}), name) == 99


def test_a_prompt_token_must_be_in_the_vocabulary() -> None:
    error = unparsed({"input_ids": [99, 100]})
    assert (error.field, error.given) == ("input_ids", "100")


def test_minus_one_means_no_end_token() -> None:
    assert parse(end_id=-1).end_id == -1


def test_what_a_bare_request_gets() -> None:
    params = parse(seed=1)
    assert (params.mode, params.max_tokens, params.end_id) == (Mode.AUTO, 128, 7)
    assert (params.block.block_length, params.block.denoise_steps, params.block.threshold, params.block.reveal) == (
        8,
        8,
        0.0,
        "threshold",
    )
    assert (params.end_think_token_id, params.max_thinking_tokens) == (9, None)
    assert params.sampling.greedy and not params.sampling.penalised and not params.reference


def test_the_servers_defaults_are_used() -> None:
    server = Defaults(vocab_size=9, block_length=4, end_id=3, mode=Mode.DIFFUSION, max_tokens=17)
    params = GenerationParams.parse({"text_input": "a"}, server)
    assert (params.mode, params.max_tokens, params.block.block_length, params.end_id) == (Mode.DIFFUSION, 17, 4, 3)


@pytest.mark.parametrize(
    ("given", "threshold", "steps"),
    [
        ({"mode": DIFFUSION}, 0.9, 8),
        ({"mode": DIFFUSION, "threshold": 0.5}, 0.5, 8),
        ({"mode": DIFFUSION, "denoise_steps": 2}, 0.9, 2),
        ({"mode": DIFFUSION, "block_length": 16}, 0.9, 16),
        ({"mode": DIFFUSION, "reveal": "steps"}, None, 8),
        ({"mode": DIFFUSION, "reveal": "steps", "denoise_steps": 3}, None, 3),
        ({"mode": DIFFUSION, "reveal": "leftmost"}, 0.9, 8),
        ({"mode": SPECULATION}, 0.0, 8),
        ({"mode": SPECULATION, "threshold": 0.5}, 0.5, 8),
        ({"mode": SPECULATION, "denoise_steps": 2}, None, 2),
        ({"mode": SPECULATION, "denoise_steps": 2, "threshold": 0.5}, 0.5, 2),
        ({"mode": SPECULATION, "reveal": "steps"}, None, 8),
        ({"mode": SPECULATION, "reveal": "margin"}, 0.0, 8),
    ],
)
def test_threshold_and_steps_resolve(given: dict[str, object], threshold: float | None, steps: int) -> None:
    params = parse(given)
    assert (params.block.threshold, params.block.denoise_steps) == (threshold, steps)


def test_more_steps_than_the_block_has_positions_are_refused() -> None:
    error = unparsed({"text_input": "a", "block_length": 4, "denoise_steps": 5})
    assert (error.field, error.limit, error.given) == ("denoise_steps", "must be at most block_length = 4", "5")


def test_threshold_does_not_apply_to_reveal_steps() -> None:
    error = unparsed({"text_input": "a", "reveal": "steps", "threshold": 0.5})
    assert (error.field, error.error_type) == ("threshold", "not_applicable")


def test_a_thinking_budget_needs_an_end_of_thinking() -> None:
    without = Defaults(vocab_size=100, block_length=8, end_id=7)
    error = unparsed({"text_input": "a", "max_thinking_tokens": 4}, without)
    assert (error.field, error.error_type) == ("max_thinking_tokens", "not_applicable")
    given = {"text_input": "a", "max_thinking_tokens": 4, "end_think_token_id": 5}
    assert GenerationParams.parse(given, without).end_think_token_id == 5


def test_without_a_seed_requests_differ() -> None:
    assert len({parse().sampling.seed for _ in range(8)}) > 1


GAP: dict[str, object] = {"text_input": "a", "suffix": "b"}
REVISION: dict[str, object] = {"text": "abc"}


@pytest.mark.parametrize(
    ("given", "most"),
    [({}, 32), ({"infill_tokens": 50}, 50), ({"infill_lengths": [7, 3]}, 7), ({"max_tokens": 9}, 9)],
)
def test_max_tokens_bounds_the_sizes_of_a_gap(given: dict[str, object], most: int) -> None:
    assert GenerationParams.parse({**GAP, **given}, DEFAULTS).max_tokens == most


@pytest.mark.parametrize(
    ("given", "field", "limit"),
    [
        ({"max_tokens": 1025}, "max_tokens", "1024"),
        ({"infill_tokens": 1025}, "infill_tokens", "1024"),
        ({"infill_tokens": 5, "max_tokens": 4}, "infill_tokens", "max_tokens = 4"),
        ({"infill_lengths": [1, 5], "max_tokens": 4}, "infill_lengths", "max_tokens = 4"),
    ],
)
def test_too_long_a_gap_is_refused(given: dict[str, object], field: str, limit: str) -> None:
    error = unparsed({**GAP, **given})
    assert error.field == field and limit in error.limit


@pytest.mark.parametrize("given", [GAP, REVISION])
@pytest.mark.parametrize(("block", "fine"), [(2, False), (3, True), (8, True), (9, False)])
def test_a_window_is_at_most_the_trained_block_and_sees_both_sides(
    given: dict[str, object], block: int, fine: bool
) -> None:
    asked = {**given, "block_length": block}
    if fine:
        assert GenerationParams.parse(asked, DEFAULTS).block.block_length == block
    else:
        assert unparsed(asked).limit.startswith("must be between 3 and the trained 8")


@pytest.mark.parametrize(
    ("given", "threshold"),
    [({}, -2.0), ({"revise_fraction": 0.1}, None), ({"spans": [[0, 1]]}, None), ({"revise_threshold": -1}, -1.0)],
)
def test_unlikely_tokens_are_reconsidered_unless_told_otherwise(given: dict[str, object], threshold: float) -> None:
    assert GenerationParams.parse({**REVISION, **given}, DEFAULTS).revise.revise_threshold == threshold


@pytest.mark.parametrize("knob", [{"denoise_steps": 2}, {"threshold": 0.5}, {"reveal": "margin"}])
def test_a_knob_of_drafts_picks_speculation_where_no_mode_is_named(knob: dict[str, object]) -> None:
    assert parse(knob).mode is Mode.SELF_SPECULATION


CAUSAL = replace(DEFAULTS, modes=(Mode.AUTO, Mode.AUTOREGRESSIVE))
"""What a checkpoint has that was not trained to denoise."""


@pytest.mark.parametrize(
    ("given", "field", "needs"),
    [
        ({"text_input": "a", "mode": DIFFUSION}, "mode", "must be auto or autoregressive, not diffusion, which"),
        (
            {"text_input": "a", "mode": SPECULATION},
            "mode",
            "must be auto or autoregressive, not self_speculation, which",
        ),
        ({"text_input": "a", "suffix": "b"}, "suffix", "needs mode diffusion, which"),
        ({"segments": ["a", {}]}, "segments", "needs mode diffusion, which"),
        ({"text": "a"}, "text", "needs mode diffusion, which"),
        ({"text_input": "a", "effort": 0.5}, "effort", "needs mode diffusion, which"),
        ({"text_input": "a", "auto_allow": ["diffusion"]}, "auto_allow", "needs mode diffusion, which"),
        ({"text_input": "a", "denoise_steps": 2}, "denoise_steps", "needs mode diffusion or self_speculation, which"),
        ({"text_input": "a", "block_length": 4}, "block_length", "needs mode diffusion or self_speculation, which"),
        ({"text_input": "a", "draft_adapter": True}, "draft_adapter", "needs mode self_speculation, which"),
    ],
)
def test_a_checkpoint_that_does_not_denoise_says_so_for_everything_that_needs_it(
    given: dict[str, object], field: str, needs: str
) -> None:
    with pytest.raises(RequestError) as caught:
        GenerationParams.parse(given, CAUSAL)
    assert (caught.value.field, caught.value.error_type) == (field, "not_applicable")
    assert caught.value.limit.startswith(needs) and caught.value.limit.endswith("next token, not to denoise")


@pytest.mark.parametrize("given", [{}, {"mode": "auto"}, {"mode": "autoregressive"}, {"temperature": 0.5, "top_k": 3}])
def test_a_checkpoint_that_does_not_denoise_has_the_other_modes(given: dict[str, object]) -> None:
    params = GenerationParams.parse({"text_input": "a", **given}, CAUSAL)
    assert params.mode is Mode(str(given.get("mode", "auto")))
