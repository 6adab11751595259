"""A text with gaps: its pieces, and what stands on the two sides of each gap, in tokens.

Knows nothing of decoding or of queues; how gaps are filled is in infill.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .errors import PromptTooLongError
from .params import GenerationParams
from .sequence import Seam
from .tokenizer import Tokenizer

SEAM_TOKENS = 8
"""Tokens left of a gap that are tokenized again with what fills it."""


@dataclass(frozen=True)
class GappedText:
    """What a request to fill gaps means: `context` is seen and not returned, pieces[0], gap, pieces[1], gap, …"""

    context: str
    pieces: tuple[str, ...]
    sizes: tuple[tuple[int, ...], ...]  # of each gap; empty means to search
    closed: bool  # the last piece ends the model's turn

    @classmethod
    def of_segments(cls, segments: Sequence[str | int | None]) -> GappedText:
        """Build it from strings and, for each gap, its size or None."""
        pieces: list[str] = [""]
        sizes: list[tuple[int, ...]] = []
        for item in segments:
            if isinstance(item, str):
                pieces[-1] += item
            else:
                pieces.append("")
                sizes.append((item,) if item else ())
        return cls("", tuple(pieces), tuple(sizes), closed=False)

    @classmethod
    def of(cls, params: GenerationParams, tokenizer: Tokenizer) -> GappedText:
        """Build it from a request; raises a RequestError when the chat template refuses the messages."""
        if params.segments is not None:
            return cls.of_segments(params.segments)
        given = params.infill_lengths or ((params.infill_tokens,) if params.infill_tokens else ())
        suffix = params.suffix or ""
        if params.messages is None:
            return cls("", (params.text_input or "", suffix), (given,), closed=False)
        *earlier, last = params.messages
        begun = last["role"] == "assistant"  # the answer's beginning
        context = tokenizer.render_chat(earlier if begun else params.messages, enable_thinking=False)
        return cls(context, (last["content"] if begun else "", suffix), (given,), closed=True)

    def largest(self, gap: int, searched: int) -> int:
        """Return the most tokens that may fill `gap`; `searched` where it has no size of its own."""
        return max(self.sizes[gap], default=searched)

    def left(self, fills: Sequence[str]) -> str:
        """Return all that stands before the first gap that is not among `fills`."""
        filled = "".join(piece + fill for piece, fill in zip(self.pieces, fills, strict=False))
        return self.context + filled + self.pieces[len(fills)]

    def whole(self, fills: Sequence[str]) -> str:
        """Return the text with every gap filled, without its context."""
        return self.pieces[0] + "".join(fill + piece for fill, piece in zip(fills, self.pieces[1:], strict=True))

    def check(self, params: GenerationParams, tokenizer: Tokenizer, capacity: int) -> int:
        """Return how many tokens of known text precede the last gap.

        Raises:
            PromptTooLongError: they, the largest gaps and one block do not fit `capacity`.
        """
        gaps = sum(self.largest(gap, params.max_tokens) for gap in range(len(self.sizes)))
        room = capacity - params.block_length - gaps
        if room < 0:
            names = ("segments", "infill_lengths", "infill_tokens")
            field = next((name for name in names if getattr(params, name)), "max_tokens")
            limit = f"must ask for at most {capacity - params.block_length} tokens (capacity {capacity} - block)"
            raise PromptTooLongError(field, limit, f"{gaps} tokens")
        limit = f"must leave room for gaps of {gaps} tokens and a block of {params.block_length} in the capacity of "
        known = self.context + "".join(self.pieces[:-1])
        if not tokenizer.fits(known, room):
            raise PromptTooLongError(params.prompt_field, f"{limit}{capacity} tokens", f"{len(known)} characters")
        tokens = len(tokenizer.encode(known)) if known else 0
        if tokens > room:
            raise PromptTooLongError(params.prompt_field, f"{limit}{capacity} tokens", f"{tokens} tokens")
        return tokens


class Sides:
    """What stands around one gap: `prompt`, the ids of all that precedes it, and `right`, at most a block after it."""

    def __init__(self, tokenizer: Tokenizer, left: str, right: str, *, block: int, end_id: int | None) -> None:
        """Tokenize both sides; `end_id` is what follows them when the model's turn ends there, else None."""
        self._tokenizer = tokenizer
        self.prompt, offsets = tokenizer.encode_with_offsets(left) if left else ([], [])
        seam = max(0, len(self.prompt) - SEAM_TOKENS)
        while seam and offsets[seam][0] < offsets[seam - 1][1]:  # never begin inside a character
            seam -= 1
        self._seam, self._before = seam, left[offsets[seam][0] :] if offsets else ""
        near = right[: (block + 1) * tokenizer.longest]
        ids, offsets = tokenizer.encode_with_offsets(near) if near else ([], [])
        self._after = near[: offsets[block - 1][1]] if len(ids) > block else near
        self._end = () if end_id is None or len(ids) >= block else (end_id,)
        # A model's turn ends with its end token and was trained with more of them up to the block's end.
        self.right = [*ids, *self._end * (block - len(ids))][:block]

    def around(self, filled: Sequence[int]) -> Seam:
        """Return the text around the gap as it is tokenized once `filled` fills it, up to about a block after it."""
        text = self._before + self._tokenizer.decode_whole(filled) + self._after
        return Seam([*self._tokenizer.encode(text), *self._end], self._seam)
