"""Which fields a mode and an operation have, and what is refused because it belongs to another."""

from __future__ import annotations

import pytest
from trimode.api.applicability import FIELDS_OF_MODES
from trimode.api.fields import Mode, Operation
from trimode.api.params import NOT_ECHOED, GenerationParams

from tests.support.parsing import DEFAULTS, unparsed

DIFFUSION, SPECULATION = "diffusion", "self_speculation"
GOOD = [{"role": "system", "content": ""}, {"role": "user", "content": "hi"}]


OF_SOME_MODES: dict[str, object] = {
    "block_length": 4,
    "denoise_steps": 2,
    "threshold": 0.5,
    "reveal": "margin",
    "draft_adapter": False,
    "speculation": "linear",
    "prediction": "an edited file",
    "prompt_lookup": True,
    "auto_allow": ["diffusion"],
    "revise_rounds": 1,
    "effort": 0.5,
    "stream_provisional": False,
    "log_probs_kind": "reveal",
}
OF_REVISING: dict[str, object] = {"revise_threshold": -1.0, "revise_fraction": 0.25, "accept": "always"}


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize(("name", "value"), OF_SOME_MODES.items())
def test_a_knob_is_refused_by_the_modes_that_do_not_have_it(name: str, value: object, mode: Mode) -> None:
    given = {"text_input": "a", "mode": str(mode), name: value}
    if mode in FIELDS_OF_MODES[name]:
        params = GenerationParams.parse(given, DEFAULTS)
        echoed = getattr(params.block, name) if name in NOT_ECHOED else params.echo()[name]
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
