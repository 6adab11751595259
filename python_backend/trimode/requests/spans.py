"""The text to revise as characters, bytes and tokens: which parts may change, and how they changed, as edits.

Knows nothing of decoding or of queues.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import regex

from ..api.answer import Edit
from ..api.params import GenerationParams
from ..errors import PromptTooLongError, RequestError, shorten
from ..text.tokenizer import Tokenizer
from .pictures import NO_PICTURES, RequestPictures, before

CHARACTER = regex.compile(r"\X")
"""What people see as one character: an extended grapheme cluster of one or several code points (Unicode, UAX 29)."""


@dataclass(frozen=True)
class Original:
    """The text to revise as the tokenizer sees it: its ids, the bytes that each stands for, and which may change.

    Attributes:
        pieces: the bytes of each token; together they are the text's.
        free: the bytes of each token that may change, start and end; the rest of it stays.
        only: for each token of which a part is free, the ids (A,) of those that have the rest of it.
    """

    text: str
    context: list[int]
    ids: list[int]
    pieces: list[bytes]
    free: list[tuple[int, int]]
    only: dict[int, npt.NDArray[np.int64]]

    @classmethod
    def of(
        cls, params: GenerationParams, tokenizer: Tokenizer, capacity: int, pictures: RequestPictures = NO_PICTURES
    ) -> Original:
        """Read it from a request, whose pictures stand in its context.

        Raises:
            RequestError: the text is empty or not what its tokens stand for, a span lies outside it or cuts a
                character, or there is no chat template for the instruction.
            PromptTooLongError: instruction, text and one block do not fit `capacity`.
        """
        text, rendered, allowed = params.prompt.text or "", "", params.prompt.allow_special_tokens
        if not text:
            raise RequestError("text", "must not be empty", text)
        for span in params.revise.spans:
            if span[1] > len(text):
                raise RequestError("spans", f"must lie inside the text of {len(text)} characters", list(span))
        if params.prompt.instruction is not None:
            asked = [{"role": "user", "content": before(params.prompt, params.prompt.instruction)}]
            rendered = tokenizer.render_chat(
                asked, enable_thinking=False, field="instruction", allow_special_tokens=allowed
            )
        room = capacity - params.block.block_length
        limit = f"must leave room for a block of {params.block.block_length} in the capacity of {capacity} tokens"
        if not tokenizer.fits(rendered + text, room):
            raise PromptTooLongError("text", limit, f"{len(rendered) + len(text)} characters")
        _check_cuts(params.revise.spans, text)
        marked = tokenizer.marks(allow_special_tokens=allowed)
        context = tokenizer.encode(rendered, marked=marked, field="instruction") if rendered else []
        context = pictures.placed(context)
        ids = tokenizer.encode(text, field="text")
        if not ids:
            raise RequestError("text", "must hold at least one token", text)
        if len(context) + len(ids) > room:
            raise PromptTooLongError("text", limit, f"{len(context) + len(ids)} tokens")
        pieces = tokenizer.vocabulary.of(ids)
        if b"".join(pieces) != text.encode():
            raise RequestError("text", "must be reproduced exactly by the tokenizer, or edits cannot be located", text)
        free = free_parts(text, pieces, params.revise.spans or ((0, len(text.rstrip())),))  # how a file ends is its own
        only = {
            at: tokenizer.vocabulary.around(piece[:start], piece[end:])
            for at, (piece, (start, end)) in enumerate(zip(pieces, free, strict=True))
            if 0 < end - start < len(piece)
        }
        return cls(text, context, ids, pieces, free, only)

    def edits(self, after: list[int], tokenizer: Tokenizer) -> list[Edit]:
        """Return what the tokens became in `after`, token for token, as changes of whole characters, left to right."""
        whole, bounds = b"".join(self.pieces), byte_bounds(self.text)
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
    bounds = byte_bounds(text)
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


def byte_bounds(text: str) -> npt.NDArray[np.int64]:
    """Return the byte at which each character of `text` begins, and the text's end."""
    points = np.frombuffer(text.encode("utf-32-le"), dtype="<u4")
    return np.concatenate([[0], np.cumsum(1 + (points >= 0x80) + (points >= 0x800) + (points >= 0x10000))])


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
