"""The block as it is denoised, beside the stream: what a snapshot holds, what it says, and that it changes nothing."""

from __future__ import annotations

import json
import threading
from dataclasses import asdict
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trimode.api.answer import Chunk, Provisional
from trimode.api.defaults import Defaults
from trimode.api.params import GenerationParams
from trimode.decoding.block import Block
from trimode.decoding.sequence import SequenceState
from trimode.errors import RequestError
from trimode.scheduling.block_view import BlockView
from trimode.scheduling.snapshot import BlockSnapshot
from trimode.scheduling.token_texts import PLACEHOLDER, TokenTexts
from trimode.text.tokenizer import Tokenizer
from trimode.triton.arrays import response_arrays

from tests.support.toy import EOS, MASK, VOCAB, ToyEngine, byte_tokenizer, toy_runtime

TOKENIZER = byte_tokenizer()
PROMPT = [5, 6]


def seen(
    tokens: list[int | None],
    committed: int = 0,
    done: int = 0,
    tokenizer: Tokenizer | None = TOKENIZER,
    **given: object,
) -> Provisional:
    """Of a block behind `done` committed tokens, `committed` of the block's own among the answer's; None is masked."""
    params = GenerationParams.parse({"input_ids": PROMPT, "max_tokens": 40, **given}, Defaults(VOCAB, 8, EOS))
    seq = SequenceState(params, PROMPT, MASK, tokens=[9] * (done + committed))
    ids = np.array([MASK if token is None else token for token in tokens])
    seq.block = Block(len(PROMPT) + done, ids, ids == MASK, 0, 3, np.zeros(len(ids), dtype=np.float32))
    (shown,) = BlockView(TokenTexts(tokenizer), params).shown([BlockSnapshot.of(seq)], "")
    return shown


def blocks_of(chunks: list[Chunk]) -> list[Provisional]:
    return [block for chunk in chunks for block in chunk.passes]


def states(block: Provisional) -> str:
    return "".join(token.state[0] for token in block.tokens)


def test_tokens_are_committed_provisional_or_masked() -> None:
    a, b, c = TOKENIZER.encode("abc")
    block = seen([a, b, None, c], committed=1, done=4)
    assert (block.start, block.step, block.text, states(block)) == (4, 3, f"ab{PLACEHOLDER}c", "cpmp")
    assert [token.id for token in block.tokens] == [a, b, None, c]


def test_nothing_behind_the_end_is_shown() -> None:
    (a,) = TOKENIZER.encode("a")
    block = seen([a, None, EOS, a, None])
    assert (block.text, states(block)) == (f"a{PLACEHOLDER}", "pmp")
    assert block.tokens[-1].text == "" and block.tokens[-1].id == EOS


def test_nothing_beyond_max_tokens_is_shown() -> None:
    a, b = TOKENIZER.encode("ab")
    assert seen([a, None, b, None], max_tokens=2).text == f"a{PLACEHOLDER}"
    assert seen([a, None, b, None], done=3, max_tokens=6).text == f"a{PLACEHOLDER}b"


def test_a_character_over_several_tokens_is_the_text_of_its_last() -> None:
    block = seen([*TOKENIZER.encode("é🙂")])
    assert [token.text for token in block.tokens] == ["", "é", "", "", "", "🙂"]


def test_a_character_cut_by_a_mask_is_broken_on_both_sides() -> None:
    first, second = TOKENIZER.encode("é")
    block = seen([first, None, second])
    assert block.text == f"\ufffd{PLACEHOLDER}\ufffd"


def test_without_a_tokenizer_tokens_have_no_text() -> None:
    block = seen([4, None, 5], tokenizer=None)
    assert block.text == PLACEHOLDER and [token.id for token in block.tokens] == [4, None, 5]


def test_a_token_has_the_probability_with_which_it_was_chosen() -> None:
    shown = ask(mode="diffusion", stream_provisional=True, return_log_probs=True)
    answered = [value for chunk in shown for value in chunk.log_probs]
    for block in blocks_of(shown):
        for place, token in enumerate(block.tokens, block.start):
            assert (token.prob is None) == (token.state == "masked")
            if token.prob is not None and place < len(answered):
                assert token.prob == pytest.approx(np.exp(answered[place]), abs=1e-4)


QUADRATIC = {"mode": "self_speculation", "speculation": "quadratic"}
WATCHED: list[dict[str, Any]] = [
    {"mode": "diffusion"},
    {"mode": "self_speculation", "threshold": 0.0},
    QUADRATIC,
    {**QUADRATIC, "temperature": 0.8, "repetition_penalty": 1.2},
]


@pytest.mark.parametrize("knobs", WATCHED, ids=str)
def test_probabilities_are_the_same_whether_log_probs_are_returned(knobs: dict[str, Any]) -> None:
    alone, beside = (ask(**knobs, stream_provisional=True, return_log_probs=more) for more in (False, True))
    blocks = blocks_of(alone)
    assert blocks == blocks_of(beside)
    assert any(token.prob not in (None, 1.0) for block in blocks for token in block.tokens)


@pytest.mark.parametrize("speculation", ["linear", "quadratic"])
def test_the_token_that_a_draft_starts_with_has_no_probability(speculation: str) -> None:
    for block in blocks_of(ask(mode="self_speculation", speculation=speculation, stream_provisional=True)):
        assert [token.prob is None for token in block.tokens][:2] == [True, False]


@pytest.mark.parametrize("knobs", WATCHED, ids=str)
def test_steps_count_from_1(knobs: dict[str, Any]) -> None:
    blocks = blocks_of(ask(**knobs, stream_provisional=True))
    assert min(block.step for block in blocks) == 1


@settings(deadline=None)
@given(st.lists(st.one_of(st.none(), st.integers(2, VOCAB - 1)), min_size=1, max_size=12))
def test_the_tokens_texts_are_the_text(tokens: list[int | None]) -> None:
    block = seen(tokens)
    assert "".join(token.text for token in block.tokens) == block.text
    assert block.text.count(PLACEHOLDER) == tokens.count(None)


# Beside the stream


def ask(**given: Any) -> list[Chunk]:
    runtime, chunks, done = toy_runtime(ToyEngine(eos_rate=0.01)), [], threading.Event()

    def sink(chunk: Chunk) -> None:
        chunks.append(chunk)
        if chunk.last:
            done.set()

    try:
        runtime.submit({"input_ids": PROMPT, "seed": 4, "max_tokens": 50, "stream": True, **given}, sink)
        assert done.wait(30)
    finally:
        runtime.close()
    assert chunks[-1].error is None
    return chunks


KNOBS: list[dict[str, Any]] = [
    {"mode": "diffusion"},
    {"mode": "diffusion", "temperature": 0.8},
    {"mode": "diffusion", "revise_rounds": 2},
    {"mode": "diffusion", "stop_words": ["e", "xyz"]},
    {"mode": "self_speculation"},
    {"mode": "self_speculation", "denoise_steps": 3, "block_length": 7},
    {"mode": "diffusion", "exclude_input_in_output": False},
]


@pytest.mark.parametrize("knobs", KNOBS, ids=str)
def test_the_committed_stream_is_the_same_with_it(knobs: dict[str, Any]) -> None:
    plain, watched = ask(**knobs), ask(**knobs, stream_provisional=True)
    assert "".join(chunk.text for chunk in plain) == "".join(chunk.text for chunk in watched)
    assert [t for chunk in plain for t in chunk.token_ids] == [t for chunk in watched for t in chunk.token_ids]
    assert plain[-1].counters == watched[-1].counters
    assert not blocks_of(plain)


@pytest.mark.parametrize("knobs", KNOBS, ids=str)
def test_every_denoising_pass_tells_of_its_block_once(knobs: dict[str, Any]) -> None:
    chunks = ask(**knobs, stream_provisional=True)
    blocks = blocks_of(chunks)
    counts = chunks[-1].counters
    assert len(blocks) == counts.denoise_forwards + counts.draft_forwards > 0
    assert all(low.start <= high.start for low, high in pairwise(blocks))
    assert all(len(chunk.passes) < 2 for chunk in chunks)
    assert len(chunks) <= len(blocks) + counts.verify_forwards + counts.score_forwards + counts.commit_forwards + 1


@pytest.mark.parametrize("knobs", KNOBS, ids=str)
def test_what_is_called_committed_is_in_the_stream(knobs: dict[str, Any]) -> None:
    sent: list[int] = []
    for chunk in ask(**knobs, stream_provisional=True):
        sent += chunk.token_ids
        for block in chunk.passes:
            own = [token for token in block.tokens if token.state == "committed"]
            assert [token.id for token in own] == sent[block.start :] and block.committed == chunk.text


@pytest.mark.parametrize("knobs", [*KNOBS, *WATCHED], ids=str)
def test_passes_that_wait_go_together_and_nothing_else_changes(knobs: dict[str, Any]) -> None:
    asked = {"return_token_ids": True, "return_log_probs": True, **knobs, "stream_provisional": True}
    single, together = ask(**asked), ask(**asked, stream_interval_ms=10**9)
    assert len(together) < len(single) and not blocks_of(together[:-1])  # the last response cannot wait
    for part in ("text", "token_ids", "log_probs"):
        one, other = ([item for chunk in chunks for item in getattr(chunk, part)] for chunks in (single, together))
        assert one == other
    blocks = blocks_of(together)
    assert [(block.start, block.step, block.tokens) for block in blocks] == [
        (block.start, block.step, block.tokens) for block in blocks_of(single)
    ]
    assert single[-1].counters == together[-1].counters
    for chunk in together:
        assert chunk.text.startswith("".join(block.committed for block in chunk.passes))


def test_what_auto_shows_is_in_the_stream_however_it_is_sent() -> None:
    asked = {"mode": "auto", "return_token_ids": True, "stream_provisional": True}
    single, together = ask(**asked), ask(**asked, stream_interval_ms=10**9)
    for part in ("text", "token_ids"):  # which passes it chooses depends on what they take
        one, other = ([item for chunk in chunks for item in getattr(chunk, part)] for chunks in (single, together))
        assert one == other
    tokens = [token for chunk in together for token in chunk.token_ids]
    for block in blocks_of(together):
        own = [token.id for token in block.tokens if token.state == "committed"]
        assert own == tokens[block.start : block.start + len(own)]


def test_each_pass_of_a_response_is_a_document_of_its_own() -> None:
    params = GenerationParams.parse({"input_ids": PROMPT, "stream": True, "mode": "diffusion"}, Defaults(VOCAB, 8, EOS))
    passes = seen([4, None]), seen([4, 5])
    written = response_arrays(Chunk("a", [3], passes=passes), params, 0.0)["provisional"]
    assert [one.decode() for one in written] == [json.dumps(asdict(block)) for block in passes]


def test_a_block_alone_is_no_answer_on_the_wire() -> None:
    given = {"input_ids": PROMPT, "stream": True, "stream_provisional": True, "mode": "diffusion"}
    params = GenerationParams.parse({**given, "return_token_ids": True}, Defaults(VOCAB, 8, EOS))
    alone = Chunk(passes=(seen([4, None]),))
    arrays = response_arrays(alone, params, 0.0)
    assert set(arrays) == {"text_output", "provisional"} and arrays["text_output"].tolist() == [b""]
    assert "provisional" not in response_arrays(Chunk("a", [3]), params, 0.0)


# What is refused


@pytest.mark.parametrize(
    "given",
    [
        {"input_ids": [3], "mode": "diffusion"},
        {"input_ids": [3], "mode": "diffusion", "stream": False},
        {"input_ids": [3], "mode": "autoregressive", "stream": True},
        {"text_input": "a", "suffix": "b", "stream": True},
        {"text": "a", "stream": True},
    ],
)
def test_without_a_stream_of_blocks_it_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(RequestError, match="stream_provisional") as caught:
        GenerationParams.parse({**given, "stream_provisional": True}, Defaults(VOCAB, 8, EOS))
    assert caught.value.error_type == "not_applicable"
