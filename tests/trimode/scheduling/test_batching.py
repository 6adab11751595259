"""Packing: which passes share an engine call."""

from __future__ import annotations

import numpy as np
import pytest
from trimode.api.defaults import Defaults
from trimode.api.params import GenerationParams
from trimode.decoding.free_drafts.drafts import FreeDrafts
from trimode.decoding.sequence import Phase, SequenceState
from trimode.engines.base import Row
from trimode.scheduling.batching import MAX_CALL_TOKENS, pack
from trimode.scheduling.job import Job
from trimode.text.answer_text import AnswerText

from tests.support.toy import EOS, MASK, ToyEngine

DEFAULTS = Defaults(ToyEngine().manifest.vocab_size, 8, EOS)


def planned(*passes: tuple[Phase, int]) -> list[tuple[Job, Row]]:
    tasks = []
    for number, (phase, width) in enumerate(passes):
        mode = "autoregressive" if phase is Phase.DECODE else "self_speculation"
        house_defaults = {"input_ids": [3], "seed": 1, "mode": mode}
        sequence = SequenceState(GenerationParams.parse(house_defaults, DEFAULTS), [3], MASK, phase=phase)
        task = Job(sequence, AnswerText(None, [], at_once=True), lambda chunk: None)
        ids = np.zeros(width, dtype=np.int64)
        tasks.append((task, Row(number, ids, 0, "causal", ids[:0], keep=True)))
    return tasks


def slots_of(groups: list[list[tuple[Job, Row]]]) -> list[list[int]]:
    return [[row.slot for _, row in group] for group in groups]


def test_prompt_chunks_go_alone() -> None:
    assert slots_of(pack(planned((Phase.PREFILL, 9), (Phase.PREFILL, 1)))) == [[0], [1]]


def test_single_tokens_go_together_and_blocks_together() -> None:
    passes = planned((Phase.DECODE, 1), (Phase.DRAFT, 8), (Phase.DECODE, 1), (Phase.VERIFY, 5), (Phase.COMMIT, 8))
    assert slots_of(pack(passes)) == [[0, 2], [1, 3, 4]]


def test_a_block_of_one_token_stays_with_the_blocks_beside_which_its_slot_lies() -> None:
    assert slots_of(pack(planned((Phase.DECODE, 1), (Phase.VERIFY, 1), (Phase.DRAFT, 8)))) == [[0], [1, 2]]


def test_passes_with_a_mask_of_their_own_go_together_and_apart_from_blocks() -> None:
    passes = planned((Phase.VERIFY, 200), (Phase.DRAFT, 8), (Phase.VERIFY, 200), (Phase.VERIFY, 72), (Phase.PREFILL, 9))
    masked = [0, 2, 3, 4]
    passes = [
        (job, row._replace(sees=np.ones((len(row.tokens),) * 2, dtype=bool)) if number in masked else row)
        for number, (job, row) in enumerate(passes)
    ]
    assert slots_of(pack(passes)) == [[4], [1], [0, 2], [3]]


def test_nothing_planned_is_no_call() -> None:
    assert pack([]) == []


@pytest.mark.parametrize(("width", "count", "sizes"), [(64, 9, [8, 1]), (32, 16, [16]), (32, 17, [16, 1]), (2, 5, [5])])
def test_a_call_of_blocks_stays_below_its_limit(width: int, count: int, sizes: list[int]) -> None:
    groups = pack(planned(*[(Phase.DRAFT, width)] * count))
    assert [len(group) for group in groups] == sizes
    assert all(sum(len(row.tokens) for _, row in group) <= MAX_CALL_TOKENS for group in groups)


def test_every_pass_is_in_exactly_one_call() -> None:
    passes = planned(*[(phase, width) for phase in (Phase.PREFILL, Phase.DRAFT) for width in (1, 7, 64)] * 5)
    assert sorted(slot for group in slots_of(pack(passes)) for slot in group) == list(range(30))


def test_the_single_tokens_of_a_sequence_with_free_drafts_go_with_blocks_beside_which_its_slot_lies() -> None:
    passes = planned((Phase.DECODE, 1), (Phase.DECODE, 1), (Phase.DRAFT, 8))
    passes[1][0].sequence.free_drafts = FreeDrafts([3], max_tokens=9, longest=8, prediction=[4])
    assert slots_of(pack(passes)) == [[0], [1, 2]]
