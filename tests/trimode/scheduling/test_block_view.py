"""What a client sees of a block: what a pass left, up to the answer's end, and what the passes of a response added."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
from trimode.api.answer import Chunk, Provisional
from trimode.api.defaults import Defaults
from trimode.api.params import GenerationParams
from trimode.scheduling.block_view import BlockView
from trimode.scheduling.snapshot import BlockSnapshot
from trimode.scheduling.token_texts import PLACEHOLDER, TokenTexts

from tests.support.toy import EOS, MASK, VOCAB, byte_tokenizer

TOKENIZER = byte_tokenizer()
A, B, C = TOKENIZER.encode("abc")
ALL = Defaults(VOCAB, 8, EOS)


def view(**given: object) -> BlockView:
    return BlockView(TokenTexts(TOKENIZER), GenerationParams.parse({"input_ids": [5], "max_tokens": 40, **given}, ALL))


def snapshot(
    tokens: list[int | None], step: int = 1, start: int = 0, committed: int = 0, said: int = 0
) -> BlockSnapshot:
    """Of a block whose tokens were chosen with probability 1/2; None is masked."""
    ids = np.array([MASK if token is None else token for token in tokens])
    log_probs = np.full(len(ids), np.log(0.5), dtype=np.float32)
    return BlockSnapshot(start, step, ids, ids == MASK, log_probs, committed, said)


def states(block: Provisional) -> str:
    return "".join(token.state[0] for token in block.tokens)


def test_passes_that_go_together_keep_their_order_and_share_out_the_text() -> None:
    passes = [
        snapshot([A, None], 1),
        snapshot([A, B], 2, committed=2, said=4),
        snapshot([C, None], 1, start=2, said=4),
        snapshot([C, A], 2, start=2, committed=2, said=6),
    ]
    blocks = view().shown(passes, "q:abca and the rest")
    assert [(block.start, block.step, block.text) for block in blocks] == [
        (0, 1, f"a{PLACEHOLDER}"),
        (0, 2, "ab"),
        (2, 1, f"c{PLACEHOLDER}"),
        (2, 2, "ca"),
    ]
    assert [states(block) for block in blocks] == ["pm", "cc", "pm", "cc"]
    assert [block.committed for block in blocks] == ["", "q:ab", "", "ca"]


def test_a_block_is_the_same_in_one_response_or_several() -> None:
    passes = [snapshot([A, None, None], 1), snapshot([A, C, None], 2), snapshot([A, None, B], 3)]  # one masked again
    together, seen = view().shown(passes, ""), view()
    assert together == tuple(seen.shown([one], "")[0] for one in passes)


def test_what_did_not_change_is_made_once() -> None:
    first, second = view().shown([snapshot([A, None], 1), snapshot([A, B], 2)], "")
    assert first.tokens[0] is second.tokens[0] and first.tokens[1] is not second.tokens[1]
    passes = [snapshot([A, None], 1), snapshot([A, None], 2)]
    for one in passes:
        one.log_probs[:] = np.nan
    first, second = view().shown(passes, "")
    assert all(one is other for one, other in zip(first.tokens, second.tokens, strict=True)), "of no known probability"


def test_its_json_is_that_of_its_fields() -> None:
    (block,) = view().shown([snapshot([*TOKENIZER.encode('"é\n'), None], said=2)], "é🙂x")
    assert block.as_json == json.dumps(asdict(block))


def test_a_probability_that_is_not_known_is_none() -> None:
    one = snapshot([A, B, None])
    one.log_probs[0] = np.nan
    (block,) = view().shown([one], "")
    assert [token.prob for token in block.tokens] == [None, 0.5, None]


def test_a_block_ends_with_the_first_end_token_or_at_the_limit() -> None:
    (ended,) = view(stop_token_ids=[B]).shown([snapshot([A, None, B, C, EOS])], "")
    assert [token.id for token in ended.tokens] == [A, None, B]
    (cut,) = view(max_tokens=5).shown([snapshot([A, None, C], start=3)], "")
    assert [token.id for token in cut.tokens] == [A, None]


def test_a_sink_gets_the_chunk_with_its_blocks() -> None:
    got: list[Chunk] = []
    view().before(got.append, [snapshot([A], committed=1, said=1)])(Chunk("a", [A]))
    assert [(chunk.text, [block.committed for block in chunk.passes]) for chunk in got] == [("a", ["a"])]
