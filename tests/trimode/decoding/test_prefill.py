"""The prompt's passes: chunk by chunk, and logits of its last token alone."""

from __future__ import annotations

import numpy as np
import pytest
from trimode.api.defaults import Defaults
from trimode.api.params import GenerationParams
from trimode.decoding import prefill
from trimode.decoding.sequence import SequenceState
from trimode.engines.base import RowResult

PROMPT = [1, 2, 3, 4, 5]


def test_a_prompt_is_read_in_chunks_and_only_its_last_token_is_asked_for() -> None:
    params = GenerationParams.parse({"input_ids": PROMPT, "seed": 1}, Defaults(10, 8, 8))
    seq = SequenceState(params, PROMPT, 9)
    passes, ended = [], []
    while True:
        row = prefill.plan(seq, 2)
        passes.append((row.tokens.tolist(), row.start, row.want.tolist(), row.keep))
        logits = np.zeros((len(row.want), 10), dtype=np.float32)
        ended.append(prefill.apply(seq, row, RowResult(logits, 9)))
        if ended[-1]:
            break
    assert passes == [([1, 2], 0, [], True), ([3, 4], 2, [], True), ([5], 4, [0], True)]
    assert ended == [False, False, True]
    assert seq.counters.prefill_forwards == 3


def test_a_prompt_whose_log_probabilities_are_asked_for_gives_the_logits_of_every_token() -> None:
    prompt = [5] * (prefill.SCORED_ROWS + 2)
    given = {"input_ids": prompt, "seed": 1, "return_prompt_log_probs": True, "top_log_probs": 2}
    seq = SequenceState(GenerationParams.parse(given, Defaults(10, 8, 8)), prompt, 9)
    logits = np.arange(10, dtype=np.float32)
    widths = []
    while seq.unread:
        row = prefill.plan(seq, 512)
        widths.append(len(row.want))
        prefill.apply(seq, row, RowResult(np.tile(logits, (len(row.want), 1)), 9))
    found = seq.prompt_log_probs
    assert widths == [prefill.SCORED_ROWS, 2] and found is not None
    norm = float(np.log(np.exp(logits).sum()))
    assert found.log_probs == pytest.approx([5 - norm] * (len(prompt) - 1))
    assert [ids for ids, _ in found.top] == [[8, 7]] * (len(prompt) - 1)  # 9 is the mask
    assert found.top[0][1] == pytest.approx([8 - norm, 7 - norm])


def test_the_first_token_of_an_answer_comes_from_the_last_row() -> None:
    seq = SequenceState(GenerationParams.parse({"input_ids": PROMPT}, Defaults(10, 8, 8)), PROMPT, 9)
    row = prefill.plan(seq, 512)._replace(want=np.arange(5))
    last, result = prefill.last_of(row, RowResult(np.eye(5, 10, dtype=np.float32), 9))
    assert (last.want.tolist(), result.top_id.tolist()) == ([4], [4])
