"""The prompt's passes: chunk by chunk, and logits of its last token alone."""

from __future__ import annotations

from trimode.api.defaults import Defaults
from trimode.api.params import GenerationParams
from trimode.decoding import prefill
from trimode.decoding.sequence import SequenceState

PROMPT = [1, 2, 3, 4, 5]


def test_a_prompt_is_read_in_chunks_and_only_its_last_token_is_asked_for() -> None:
    params = GenerationParams.parse({"input_ids": PROMPT, "seed": 1}, Defaults(10, 8, 8))
    seq = SequenceState(params, PROMPT, 9)
    passes, ended = [], []
    while True:
        row = prefill.plan(seq, 2)
        passes.append((row.tokens.tolist(), row.start, row.want.tolist(), row.keep))
        ended.append(prefill.apply(seq, row))
        if ended[-1]:
            break
    assert passes == [([1, 2], 0, [], True), ([3, 4], 2, [], True), ([5], 4, [0], True)]
    assert ended == [False, False, True]
    assert seq.counters.prefill_forwards == 3
