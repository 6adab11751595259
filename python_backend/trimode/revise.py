"""A request to revise a text: text and character spans in, the changed text and its edits out.

One sequence in the scheduler; which tokens are reconsidered and which changes stay is in modes/revise.py.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from .errors import RequestError
from .modes.revise import go_on
from .output import Chunk, Edit
from .params import GenerationParams
from .sequence import Revision, Sequence
from .tokenizer import Tokenizer

Spans = tuple[tuple[int, int], ...]


def sequence_of(params: GenerationParams, tokenizer: Tokenizer, mask_token_id: int) -> Sequence:
    """Return the sequence that revises `params.text`.

    Raises:
        RequestError: the text is empty, or a span lies outside it.
    """
    text = params.text
    if not text:
        raise RequestError("text", "must not be empty", text)
    ids = tokenizer.encode(text)
    context: list[int] = []
    if params.instruction is not None:
        asked = [{"role": "user", "content": params.instruction}]
        context = tokenizer.encode(tokenizer.render_chat(asked, enable_thinking=False))
    allowed = np.concatenate([np.zeros(len(context), dtype=bool), _allowed(tokenizer.offsets(text), len(text), params.spans)])
    revision = Revision(
        ids=np.array([*context, *ids], dtype=np.int64),
        allowed=allowed & ~np.isin([*context, *ids], tokenizer.special_ids),
        threshold=params.revise_threshold,
        fraction=params.revise_fraction,
        rounds=params.revise_rounds,
        always=params.accept == "always",
        banned=tokenizer.special_ids,
        # a model's turn ends with its end token and was trained with more of them up to the block's end
        filler=params.end_id if context else mask_token_id,
    )
    seq = Sequence(params, context, mask_token_id, revision=revision)
    if not context:
        go_on(seq)  # there is nothing to prefill
    return seq


def answer(chunk: Chunk, seq: Sequence, tokenizer: Tokenizer) -> Chunk:
    """Return the last chunk of `seq` with the revised text and its edits."""
    text = seq.params.text
    if chunk.error is not None or text is None:
        return chunk
    edits = edits_of(tokenizer.encode(text), seq.tokens, tokenizer.offsets(text), text, tokenizer)
    return replace(chunk, text=apply_edits(text, edits), edits=edits)


def edits_of(
    before: list[int], after: list[int], offsets: list[tuple[int, int]], text: str, tokenizer: Tokenizer
) -> list[Edit]:
    """Return what the tokens of `text` became, as changes of whole characters, left to right.

    Args:
        before, after: token for token; offsets: the characters of each of `before`.
    """
    inside = [False] + [offsets[at][0] < offsets[at - 1][1] for at in range(1, len(before))]  # of a character
    edits, at = [], 0
    while at < len(before):
        if before[at] == after[at]:
            at += 1
            continue
        first, last = at, at + 1
        while inside[first]:
            first -= 1
        while last < len(before) and (inside[last] or before[last] != after[last]):
            last += 1
        start, end = offsets[first][0], offsets[last - 1][1]
        new = tokenizer.decode_whole(after[first:last])
        if new != text[start:end]:
            edits.append(Edit(start, end, text[start:end], new))
        at = last
    return edits


def apply_edits(text: str, edits: list[Edit]) -> str:
    """Return `text` with `edits` made."""
    pieces, at = [], 0
    for edit in edits:
        pieces += [text[at : edit.start], edit.after]
        at = edit.end
    return "".join([*pieces, text[at:]])


def _allowed(offsets: list[tuple[int, int]], length: int, spans: Spans) -> npt.NDArray[np.bool_]:
    """Which tokens may be reconsidered: those that share a character with a span; all when there is none."""
    if spans and spans[-1][1] > length:
        raise RequestError("spans", f"must lie inside the text of {length} characters", spans[-1])
    if not spans:
        return np.ones(len(offsets), dtype=bool)
    return np.array([any(start < last and first < end for first, last in spans) for start, end in offsets], dtype=bool)
