"""Responses folded into pieces and a completion."""

from __future__ import annotations

from typing import Any

import pytest
from trimode.api import answer as output
from trimode.api.answer import Chunk, Provisional, ProvisionalToken, Timing
from trimode.api.counters import Counters
from trimode.api.defaults import Defaults
from trimode.api.params import GenerationParams
from trimode.triton.arrays import response_arrays
from trimode_client import Completion, Edit, IncompleteError
from trimode_client.result import Assembler

LAST = {
    "text_output": "b",
    "output_ids": [2],
    "output_log_probs": [-0.5],
    "cum_log_probs": -1.5,
    "finish_reason": "length",
    "num_input_tokens": 9,
    "num_output_tokens": 2,
    "effective_params": '{"mode":"diffusion"}',
    "forwards": 4,
    "tokens_per_forward": 0.5,
}


def completed() -> Completion:
    assembler = Assembler()
    assembler.add({"text_output": "a", "output_ids": [1], "output_log_probs": [-1.0]})
    completion = assembler.add(LAST).completion
    assert completion is not None
    return completion


def test_texts_are_joined() -> None:
    assert completed().text == "ab"


def test_tokens_are_joined() -> None:
    assert completed().token_ids == (1, 2)


def test_log_probs_are_joined() -> None:
    assert (completed().log_probs, completed().cum_log_probs) == ((-1.0, -0.5), -1.5)


def test_counters_are_what_is_left_of_the_numbers() -> None:
    assert completed().counters == {"forwards": 4, "tokens_per_forward": 0.5}


def test_effective_params_are_read() -> None:
    assert completed().params == {"mode": "diffusion"}


def test_the_time_to_the_first_response_is_not_after_the_last() -> None:
    completion = completed()
    assert 0 < completion.first_seconds <= completion.seconds


def test_a_piece_before_the_last_has_no_completion() -> None:
    assert Assembler().add({"text_output": "a"}).completion is None


def test_a_list_of_one_may_come_as_a_single_value() -> None:
    assert Assembler().add({"text_output": "a", "output_ids": 7}).token_ids == (7,)


def test_log_probs_not_asked_for_are_absent() -> None:
    completion = Assembler().add({"text_output": "", "finish_reason": "stop", "cum_log_probs": 0.0}).completion
    assert completion is not None
    assert (completion.log_probs, completion.cum_log_probs) == ((), None)


def test_a_response_after_the_last_is_refused() -> None:
    assembler = Assembler()
    assembler.add(LAST)
    with pytest.raises(IncompleteError, match="after its last"):
        assembler.add({"text_output": "c"})


@pytest.mark.parametrize(
    "wrong",
    [
        {"output_ids": ["x"]},
        {"effective_params": "{", "finish_reason": "stop"},
        {"edits": '[{"start": 1}]', "finish_reason": "stop"},
        {"infill_candidates": "[3]", "finish_reason": "stop"},
        {"provisional": "{}"},
        {"provisional": "3"},
        {"output_ids": [float("inf")]},
        {"effective_params": "[" * 100_000, "finish_reason": "stop"},
    ],
)
def test_a_value_that_cannot_be_read_is_an_error(wrong: dict[str, object]) -> None:
    with pytest.raises(IncompleteError, match="cannot be read"):
        Assembler().add(wrong)


def test_the_blocks_of_a_response_are_kept_in_order() -> None:
    blocks = [Provisional(0, step, "░", (ProvisionalToken(None, "░", "masked"),), "b" * (step - 1)) for step in (1, 2)]
    one = Assembler().add({"text_output": "", "provisional": blocks[0].as_json})
    assert (one.provisional, one.earlier, one.passes) == (blocks[0], (), (blocks[0],))
    both = Assembler().add({**LAST, "provisional": [block.as_json for block in blocks]})
    assert (both.provisional, both.earlier, both.passes) == (blocks[1], (blocks[0],), tuple(blocks))
    none = Assembler().add(LAST)
    assert (none.provisional, none.earlier, none.passes) == (None, (), ())


DEFAULTS = Defaults(vocab_size=9, block_length=4, end_id=1)


def answered(request: dict[str, object], chunk: Chunk) -> Completion:
    """What the client makes of the server's own tensors; a list of one comes as one value."""
    arrays = response_arrays(chunk, GenerationParams.parse(request, DEFAULTS), 0.0)
    lists = {n: [v.decode() if isinstance(v, bytes) else v for v in a.tolist()] for n, a in arrays.items()}
    outputs = {name: values[0] if len(values) == 1 else values for name, values in lists.items()}
    completion = Assembler().add({**outputs, "finish_reason": "stop"}).completion
    assert completion is not None
    return completion


@pytest.mark.parametrize("fills", [["é\n"], [""], ["a", "", "b"]])
def test_what_fills_each_gap_arrives(fills: list[str]) -> None:
    completion = answered({"segments": ["x", *[{}] * len(fills)]}, Chunk(fills=fills, finish_reason="stop"))
    assert completion.fills == tuple(fills)
    assert completion.counters == {}


def test_the_sizes_tried_arrive() -> None:
    first, second = output.Candidate(2, "diffusion", "é", -0.5), output.Candidate(4, "autoregressive", "ab", None)
    third = output.Candidate(1, "diffusion", "", -1.0)
    chunk = Chunk(fills=["é", ""], candidates=[[first, second], [third]], finish_reason="stop")
    completion = answered({"segments": [{}, "b", {}], "return_candidates": True}, chunk)
    assert completion.candidates == ((first, second), (third,))
    told = {"size": 1, "mode": "diffusion", "text": "", "score": -1.0}
    assert completion.as_dict()["candidates"][1] == (told,)


@pytest.mark.parametrize("edits", [[], [output.Edit(0, 2, "é\n", ""), output.Edit(5, 6, "a", "bc")]])
def test_edits_arrive(edits: list[output.Edit]) -> None:
    completion = answered({"text": "é\nxyza"}, Chunk(text="xyzbc", edits=edits, finish_reason="stop"))
    assert completion.edits == tuple(Edit(edit.start, edit.end, edit.before, edit.after) for edit in edits)
    assert (completion.text, completion.counters) == ("xyzbc", {})


def test_the_servers_counters_all_arrive() -> None:
    given = {"text_input": "a", "return_perf_metrics": True, "return_finish_reason": True}
    params = GenerationParams.parse(given, Defaults(vocab_size=9, block_length=4, end_id=1))
    counters = Counters(draft_forwards=2, verify_forwards=2, output_tokens=6, acceptance=(0, 2))
    timing = Timing(1.0, admitted=1.25, first=1.5, last=2.0, gaps=[(0.25, 1), (0.25, 3)])
    arrays = response_arrays(Chunk(finish_reason="stop", counters=counters, timing=timing), params, 0.0)
    outputs = {name: array[0].decode() if array.dtype == object else _value(array) for name, array in arrays.items()}
    completion = Assembler().add(outputs).completion
    assert completion is not None
    assert completion.counters == {n: v for n, v in counters.as_dict().items() if n != "output_tokens"}
    assert completion.acceptance_histogram == (0, 2)
    assert completion.timing == {"queue_time_ms": 250.0, "time_to_first_token_ms": 500.0, "mean_itl_ms": 125.0}


def _value(array: Any) -> Any:
    return array.tolist() if len(array) > 1 else array[0].item()
