"""A request to revise a text: text and character spans in, the changed text and its edits out.

One sequence in the scheduler; which tokens are reconsidered and which changes stay is in modes/revise.py.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import regex

from ..api.answer import Chunk, Edit
from ..api.params import GenerationParams
from ..decoding.modes.revise import go_on
from ..decoding.revise_state import Revision
from ..decoding.sequence import Sequence
from ..errors import EngineError, PromptTooLongError, RequestError, shorten
from ..text.tokenizer import Tokenizer

CHARACTER = regex.compile(r"\X")
"""What people see as one character, of one code point or several: an extended grapheme cluster (Unicode, UAX 29)."""


@dataclass(frozen=True)
class Original:
    """The text to revise as the tokenizer sees it: its ids, the bytes that each stands for, and which may change.

    Attributes:
        pieces: the bytes of each token; together they are the text's.
        free: of each token the bytes that may change, start and end; nothing else of it does.
        only: for each token of which a part is free, the ids (A,) of those that have the rest of it.
    """

    text: str
    context: list[int]
    ids: list[int]
    pieces: list[bytes]
    free: list[tuple[int, int]]
    only: dict[int, npt.NDArray[np.int64]]

    @classmethod
    def of(cls, params: GenerationParams, tokenizer: Tokenizer, capacity: int) -> Original:
        """Read it from a request.

        Raises:
            RequestError: the text is empty or not what its tokens stand for, a span lies outside it or cuts a
                character, or there is no chat template for the instruction.
            PromptTooLongError: instruction, text and one block do not fit `capacity`.
        """
        text, rendered = params.text or "", ""
        if not text:
            raise RequestError("text", "must not be empty", text)
        for span in params.spans:
            if span[1] > len(text):
                raise RequestError("spans", f"must lie inside the text of {len(text)} characters", list(span))
        if params.instruction is not None:
            asked = [{"role": "user", "content": params.instruction}]
            rendered = tokenizer.render_chat(asked, enable_thinking=False, field="instruction")
        room = capacity - params.block_length
        limit = f"must leave room for a block of {params.block_length} in the capacity of {capacity} tokens"
        if not tokenizer.fits(rendered + text, room):
            raise PromptTooLongError("text", limit, f"{len(rendered) + len(text)} characters")
        _check_cuts(params.spans, text)
        context = tokenizer.encode(rendered) if rendered else []
        ids = tokenizer.encode(text)
        if not ids:
            raise RequestError("text", "must hold at least one token", text)
        if len(context) + len(ids) > room:
            raise PromptTooLongError("text", limit, f"{len(context) + len(ids)} tokens")
        pieces = tokenizer.vocabulary.of(ids)
        if b"".join(pieces) != text.encode():
            raise RequestError("text", "must be written as the tokenizer writes it, or its edits had no place", text)
        free = free_parts(text, pieces, params.spans or ((0, len(text.rstrip())),))  # how a file ends is its own
        only = {
            at: tokenizer.vocabulary.around(piece[:start], piece[end:])
            for at, (piece, (start, end)) in enumerate(zip(pieces, free, strict=True))
            if 0 < end - start < len(piece)
        }
        return cls(text, context, ids, pieces, free, only)

    def edits(self, after: list[int], tokenizer: Tokenizer) -> list[Edit]:
        """Return what the tokens became in `after`, token for token, as changes of whole characters, left to right."""
        whole, bounds = b"".join(self.pieces), _bounds(self.text)
        found: list[tuple[int, int, int, bytes]] = []  # first and last character, the last byte, the bytes up to it
        at = 0
        for piece, new, (start, end) in zip(self.pieces, tokenizer.vocabulary.of(after), self.free, strict=True):
            if piece != new:
                low, high = at + start, at + end
                first, last = int(np.searchsorted(bounds, low, "right")) - 1, int(np.searchsorted(bounds, high))
                became = new[start : len(new) - (len(piece) - end)]
                if found and found[-1][1] >= first:  # what is next to each other is one change
                    first, _, before, earlier = found.pop()
                    became = earlier + whole[before:low] + became
                else:
                    became = whole[bounds[first] : low] + became
                found.append((first, last, high, became))
            at += len(piece)
        texts = [
            (first, last, (became + whole[high : bounds[last]]).decode(errors="ignore"))
            for first, last, high, became in found
        ]
        return [
            Edit(first, last, self.text[first:last], became)
            for first, last, became in texts
            if became != self.text[first:last]
        ]


def free_parts(text: str, pieces: list[bytes], spans: tuple[tuple[int, int], ...]) -> list[tuple[int, int]]:
    """Return which bytes of each of a text's tokens lie in a span, start and end; all when there is no span.

    Of a token that spans touch in several places the first is free.
    """
    if not spans:
        return [(0, len(piece)) for piece in pieces]
    bounds = _bounds(text)
    inside = np.zeros(bounds[-1] + 1, dtype=bool)  # (B + 1,) of bytes
    for start, end in spans:
        inside[bounds[start] : bounds[end]] = True
    free, at = [], 0
    for piece in pieces:
        part = inside[at : at + len(piece)].tolist()
        start = part.index(True) if True in part else 0
        end = part.index(False, start) if False in part[start:] else len(part)
        free.append((start, end))
        at += len(piece)
    return free


def _bounds(text: str) -> npt.NDArray[np.int64]:
    """Return the byte at which each character of `text` begins, and the text's end."""
    points = np.frombuffer(text.encode("utf-32-le"), dtype="<u4")
    return np.concatenate([[0], np.cumsum(1 + (points >= 0x80) + (points >= 0x800) + (points >= 0x10000))])


def sequence_of(params: GenerationParams, original: Original, mask_token_id: int, banned: tuple[int, ...]) -> Sequence:
    """Return the sequence that revises `original`; ids of `banned` are never put in and, where they are, left alone."""
    ids, context = np.array([*original.context, *original.ids], dtype=np.int64), len(original.context)
    allowed = np.array([*[False] * context, *(end > start for start, end in original.free)])
    revision = Revision(
        ids=ids,
        allowed=allowed & ~np.isin(ids, [*banned, mask_token_id]),
        threshold=params.revise_threshold,
        fraction=params.revise_fraction,
        rounds=params.revise_rounds,
        always=params.accept == "always",
        banned=banned,
        # A model's turn ends with its end token and was trained with more of them up to the block's end.
        filler=params.end_id if original.context else mask_token_id,
        only={context + at: ids for at, ids in original.only.items()},
    )
    seq = Sequence(params, original.context, mask_token_id, revision=revision)
    if not original.context:
        go_on(seq)  # there is nothing to prefill
    return seq


def answer(chunk: Chunk, seq: Sequence, original: Original, tokenizer: Tokenizer) -> Chunk:
    """Return the last chunk of `seq` with the revised text and its edits."""
    chunk = replace(chunk, num_input_tokens=len(original.context) + len(original.ids))
    if chunk.error is not None:
        return chunk
    try:
        edits = original.edits(seq.tokens, tokenizer)
    except Exception as exc:  # the request must be answered all the same
        return replace(chunk, finish_reason=None, error=EngineError(f"the text could not be put together: {exc!r}"))
    return replace(chunk, text=apply_edits(original.text, edits), edits=edits)


def apply_edits(text: str, edits: list[Edit]) -> str:
    """Return `text` with `edits` made."""
    pieces, at = [], 0
    for edit in edits:
        pieces += [text[at : edit.start], edit.after]
        at = edit.end
    return "".join([*pieces, text[at:]])


def _check_cuts(spans: tuple[tuple[int, int], ...], text: str) -> None:
    """Raise if a span begins or ends inside what people see as one character."""
    ends = {end: span for span in spans for end in span}
    for found in CHARACTER.finditer(text) if spans else ():
        for at in range(found.start() + 1, found.end()):
            if at in ends:
                limit = f"must not cut the character {shorten(found[0], 40)} at {at}"
                raise RequestError("spans", limit, list(ends[at]))
