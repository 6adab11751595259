"""GenerationParams: which fields go together, the knobs of each mode and task, defaults, echo."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from trimode.api.applicability import FIELDS_OF_MODES, FIELDS_OF_OPERATIONS, NOT_OF_OPERATIONS
from trimode.api.defaults import Defaults
from trimode.api.fields import FIELDS, PROMPT_FIELDS, Mode, Operation
from trimode.api.params import GenerationParams
from trimode.errors import RequestError

from tests.support.toy import EFFORTS

DIFFUSION, SPECULATION = "diffusion", "self_speculation"
DEFAULTS = Defaults(vocab_size=100, block_length=8, end_id=7, end_think_token_id=9, effort=EFFORTS)
GOOD = [{"role": "system", "content": ""}, {"role": "user", "content": "hi"}]


def parse(given: dict[str, object] | None = None, **more: object) -> GenerationParams:
    return GenerationParams.parse({"text_input": "hi", **(given or {}), **more}, DEFAULTS)


def unparsed(given: dict[str, object], defaults: Defaults = DEFAULTS) -> RequestError:
    with pytest.raises(RequestError) as caught:
        GenerationParams.parse(given, defaults)
    return caught.value


def test_an_unknown_field_is_refused_by_name() -> None:
    error = unparsed({"text_input": "hi", "max_new_tokens": 5})
    assert (error.field, error.error_type) == ("max_new_tokens", "unknown_field")
    assert "the nearest is max_tokens" in str(error)
    assert "nearest" not in str(unparsed({"text_input": "hi", "zzz": 5}))


def test_reference_is_not_a_field_of_a_request() -> None:
    assert unparsed({"text_input": "hi", "reference": True}).error_type == "unknown_field"


def test_none_means_not_given() -> None:
    assert parse(temperature=None, mode=None, seed=5) == parse(seed=5)


@pytest.mark.parametrize("given", [{}, {"text_input": "a", "input_ids": [1]}, {"text_input": "a", "messages": GOOD}])
def test_exactly_one_prompt_is_required(given: dict[str, object]) -> None:
    with pytest.raises(RequestError):
        GenerationParams.parse(given, DEFAULTS)


def test_two_prompts_are_named() -> None:
    error = unparsed({"text_input": "a", "input_ids": [1]})
    assert error.error_type == "bad_prompt"
    assert "text_input" in error.given and "input_ids" in error.given and "messages" not in error.given


def test_enable_thinking_needs_messages() -> None:
    error = unparsed({"text_input": "a", "enable_thinking": True})
    assert (error.field, error.error_type) == ("enable_thinking", "not_applicable")


OF_SOME_MODES: dict[str, object] = {
    "block_length": 4,
    "denoise_steps": 2,
    "threshold": 0.5,
    "reveal": "margin",
    "draft_adapter": False,
    "auto_allow": ["diffusion"],
    "revise_rounds": 1,
    "effort": 0.5,
    "stream_provisional": False,
}
OF_REVISING: dict[str, object] = {"revise_threshold": -1.0, "revise_fraction": 0.25, "accept": "always"}


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize(("name", "value"), OF_SOME_MODES.items())
def test_a_knob_is_refused_by_the_modes_that_do_not_have_it(name: str, value: object, mode: Mode) -> None:
    given = {"text_input": "a", "mode": str(mode), name: value}
    if mode in FIELDS_OF_MODES[name]:
        echoed = GenerationParams.parse(given, DEFAULTS).echo()[name]
        assert (list(echoed) if isinstance(echoed, tuple) else echoed) == value
    else:
        error = unparsed(given)
        assert (error.field, error.error_type) == (name, "not_applicable")


def test_every_knob_of_some_modes_only_is_tried() -> None:
    assert set(OF_SOME_MODES) | set(OF_REVISING) == set(FIELDS_OF_MODES)


@pytest.mark.parametrize(("name", "value"), OF_REVISING.items())
def test_how_blocks_are_revised_needs_rounds(name: str, value: object) -> None:
    asked = {"text_input": "a", "mode": DIFFUSION, name: value}
    error = unparsed(asked)
    assert (error.field, error.error_type) == (name, "not_applicable") and "revise_rounds" in error.limit
    assert GenerationParams.parse({**asked, "revise_rounds": 1}, DEFAULTS).echo()[name] == value
    assert unparsed({**asked, "mode": SPECULATION, "revise_rounds": 1}).error_type == "not_applicable"


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


@pytest.mark.parametrize("mode", list(Mode))
def test_a_mode_is_taken_by_name(mode: Mode) -> None:
    assert parse(mode=str(mode)).mode is mode


def test_a_field_nobody_knows_is_refused_even_without_a_value() -> None:
    assert unparsed({"text_input": "a", "max_token": None}).error_type == "unknown_field"


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


@pytest.mark.parametrize(("temperature", "greedy"), [(0, True), (0.0, True), (1e-3, False), (1, False)])
def test_greedy_is_temperature_zero(temperature: float, greedy: bool) -> None:
    assert parse(temperature=temperature).sampling.greedy is greedy


@pytest.mark.parametrize(
    ("given", "penalised"),
    [
        ({}, False),
        ({"repetition_penalty": 1}, False),
        ({"repetition_penalty": 1.1}, True),
        ({"presence_penalty": -0.5}, True),
        ({"frequency_penalty": 0.5}, True),
    ],
)
def test_penalised_is_any_penalty_that_does_something(given: dict[str, object], penalised: bool) -> None:
    assert parse(given).sampling.penalised is penalised


@pytest.mark.parametrize("mode", list(Mode))
def test_the_echo_is_json_and_leaves_the_prompt_out(mode: Mode) -> None:
    echo = json.loads(json.dumps(parse(mode=str(mode), stop_words=["a", "b"]).echo(), allow_nan=False))
    left_out = {*PROMPT_FIELDS, *(name for name, modes in FIELDS_OF_MODES.items() if mode not in modes)}
    left_out |= {name for names in FIELDS_OF_OPERATIONS.values() for name in names} | set(OF_REVISING)
    assert set(echo) == {field.name for field in FIELDS} - left_out
    assert (echo["mode"], echo["stop_words"]) == (str(mode), ["a", "b"])


@pytest.mark.parametrize("given", [{"mode": DIFFUSION}, {"mode": SPECULATION}, {"mode": DIFFUSION, "temperature": 0.5}])
def test_an_echo_sent_back_gives_the_same_values(given: dict[str, object]) -> None:
    params = parse(given)
    again = {name: value for name, value in params.echo().items() if name != "enable_thinking" and value != ()}
    assert parse(again) == params


GAP: dict[str, object] = {"text_input": "a", "suffix": "b"}
REVISION: dict[str, object] = {"text": "abc"}
OF_INFILL = {"infill_tokens": 3, "infill_lengths": [3], "return_candidates": True}
OF_REVISION = {
    "spans": [[0, 1]], "revise_threshold": -1.0, "revise_fraction": 0.5, "revise_rounds": 3,
    "accept": "always",
}  # fmt: skip
OF_GENERATION = {
    "stop_words": ["a"], "end_id": 3, "repetition_penalty": 1.1, "presence_penalty": 0.5, "frequency_penalty": 0.5,
    "max_thinking_tokens": 3, "end_think_token_id": 3,
}  # fmt: skip


@pytest.mark.parametrize(
    ("given", "operation", "kind"),
    [
        ({"text_input": "a"}, Operation.GENERATE, "auto"),
        (GAP, Operation.INFILL, "infill"),
        ({"text_input": "", "suffix": ""}, Operation.INFILL, "infill"),
        ({"messages": GOOD, "suffix": ""}, Operation.INFILL, "infill"),
        ({"segments": ["a", {}]}, Operation.INFILL, "infill"),
        (REVISION, Operation.REVISE, "revise"),
    ],
)
def test_what_a_request_is_follows_from_its_fields(given: dict[str, object], operation: Operation, kind: str) -> None:
    params = GenerationParams.parse(given, DEFAULTS)
    assert (params.operation, params.kind) == (operation, kind)
    assert params.mode is (Mode.AUTO if operation is Operation.GENERATE else Mode.DIFFUSION)


@pytest.mark.parametrize(
    ("given", "name", "value"),
    [
        *(({"text_input": "a"}, name, value) for name, value in (OF_INFILL | OF_REVISION).items()),
        *((GAP, name, value) for name, value in (OF_REVISION | OF_GENERATION).items()),
        *((REVISION, name, value) for name, value in (OF_INFILL | OF_GENERATION).items()),
        *((REVISION, name, 3) for name in ("max_tokens",)),
        *((REVISION, name, True) for name in ("return_log_probs", "exclude_input_in_output")),
        *((given, "mode", mode) for given in (GAP, REVISION) for mode in (SPECULATION, "autoregressive")),
        *((given, "draft_adapter", True) for given in (GAP, REVISION)),
        ({"messages": GOOD, "suffix": "a"}, "enable_thinking", True),
        ({"input_ids": [3]}, "suffix", "a"),
        ({"messages": GOOD, "suffix": "a"}, "instruction", "q"),
        ({"text_input": "a"}, "instruction", "q"),
        (REVISION, "suffix", "b"),
        ({"segments": ["a", {}]}, "suffix", "b"),
        ({"segments": ["a", {}]}, "infill_tokens", 3),
        ({"segments": ["a", {}]}, "infill_lengths", [3]),
        ({**GAP, "infill_lengths": [3]}, "infill_tokens", 3),
        ({**REVISION, "revise_fraction": 0.5}, "revise_threshold", -1.0),
    ],
)
def test_what_does_not_belong_together_is_refused(given: dict[str, object], name: str, value: object) -> None:
    assert GenerationParams.parse(given, DEFAULTS)
    error = unparsed({**given, name: value})
    assert error.error_type == "not_applicable"
    assert error.field == (name if "input_ids" not in given else "input_ids")


def test_a_text_to_revise_is_no_side_of_a_gap() -> None:
    assert str(unparsed({**REVISION, "suffix": "b"})) == 'suffix does not go together with text, got "b"'


@pytest.mark.parametrize(
    "given", [{**GAP, "segments": [{}]}, {**REVISION, **GAP}, {"suffix": "a"}, {"spans": [[0, 1]]}]
)
def test_gaps_and_revisions_need_exactly_one_text(given: dict[str, object]) -> None:
    assert unparsed(given).error_type == "bad_prompt"


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


@pytest.mark.parametrize(
    "given",
    [
        {**GAP, "infill_tokens": 3},
        GAP,
        {"segments": ["a", {}]},
        {"segments": ["a", {"infill_tokens": 3}, "b", {}, {"infill_tokens": 40}], "max_tokens": 50},
        REVISION,
        {**REVISION, "instruction": "q", "spans": [[0, 1]]},
    ],
)
def test_the_echo_of_a_task_has_its_knobs_and_sent_back_gives_the_same_values(given: dict[str, object]) -> None:
    params = GenerationParams.parse(given, DEFAULTS)
    echo = json.loads(json.dumps(params.echo(), allow_nan=False))
    assert params.operation is not Operation.GENERATE
    texts = {*PROMPT_FIELDS, "suffix", "instruction"}
    foreign = {name for other, names in FIELDS_OF_OPERATIONS.items() if other != params.operation for name in names}
    assert set(echo) & (texts | foreign | set(NOT_OF_OPERATIONS[params.operation])) <= {"segments"}
    assert "a" not in echo.get("segments", [])
    assert set(FIELDS_OF_OPERATIONS[params.operation]) - texts <= set(echo)
    prompts = {name: value for name, value in given.items() if name in texts}
    again = {name: value for name, value in echo.items() if value not in ((), [], None)}
    assert GenerationParams.parse({**again, **prompts}, DEFAULTS) == params


@pytest.mark.parametrize(
    ("segments", "most"),
    [
        (["a", {"infill_tokens": 3}], 3),
        (["a", {"infill_tokens": 3}, {}], 32),
        (["a", {"infill_tokens": 40}, {}, {"infill_tokens": 5}], 40),
        (["a", {}], 32),
    ],
)
def test_the_sizes_of_segments_are_echoed_and_bound_as_others_are(segments: list[Any], most: int) -> None:
    params = GenerationParams.parse({"segments": segments}, DEFAULTS)
    assert params.max_tokens == most
    assert params.echo()["segments"] == [item for item in segments if item != "a"]
    sizes = [item["infill_tokens"] for item in segments if item != "a" and item]
    for limit in (1, 1024):
        if sizes and max(sizes) > limit:
            with pytest.raises(RequestError, match=f"segments must be at most max_tokens = {limit}"):
                GenerationParams.parse({"segments": segments, "max_tokens": limit}, DEFAULTS)
        else:
            assert GenerationParams.parse({"segments": segments, "max_tokens": limit}, DEFAULTS).max_tokens == limit


@pytest.mark.parametrize("given", [GAP, {"segments": ["a", {}]}, REVISION])
def test_gaps_and_revisions_come_in_one_piece_and_say_so(given: dict[str, Any]) -> None:
    params = GenerationParams.parse({**given, "stream": True}, DEFAULTS)
    assert params.returns.stream is params.echo()["stream"] is False


@pytest.mark.parametrize("knob", [{"denoise_steps": 2}, {"threshold": 0.5}, {"reveal": "margin"}])
def test_a_knob_of_drafts_picks_speculation_where_no_mode_is_named(knob: dict[str, object]) -> None:
    assert parse(**knob).mode is Mode.SELF_SPECULATION


def test_auto_allows_nothing_but_diffusion() -> None:
    assert parse(auto_allow=["diffusion", "diffusion"]).auto_allow == ("diffusion",)
    error = unparsed({"text_input": "a", "auto_allow": ["autoregressive"]})
    assert (error.field, error.limit) == ("auto_allow", "may hold only diffusion")
