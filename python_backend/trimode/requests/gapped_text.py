"""GappedText: the text of a request to fill gaps: its pieces, its gaps and their sizes, and what stands before them.

Knows nothing of decoding or of queues.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..api.params import GenerationParams
from ..errors import PromptTooLongError
from ..text.tokenizer import Tokenizer


@dataclass(frozen=True)
class GappedText:
    """A text with gaps: `context`, which is read and not returned, then pieces[0], gap, pieces[1], gap, …"""

    context: str
    pieces: tuple[str, ...]
    sizes: tuple[tuple[int, ...], ...]  # of each gap; empty means to search
    closed: bool  # the last piece ends the model's turn

    @classmethod
    def of_segments(cls, segments: Sequence[str | int | None], context: str, *, closed: bool) -> GappedText:
        """Build it from strings and, for each gap, its size or None."""
        pieces: list[str] = [""]
        sizes: list[tuple[int, ...]] = []
        for item in segments:
            if isinstance(item, str):
                pieces[-1] += item
            else:
                pieces.append("")
                sizes.append((item,) if item else ())
        return cls(context, tuple(pieces), tuple(sizes), closed)

    @classmethod
    def of(cls, params: GenerationParams, tokenizer: Tokenizer) -> GappedText:
        """Build it from a request; raises a RequestError when the chat template refuses its messages."""
        context, asked = "", params.prompt.instruction is not None
        if asked:
            message = {"role": "user", "content": params.prompt.instruction}
            context = tokenizer.render_chat([message], enable_thinking=False, field="instruction")
        if params.prompt.segments is not None:
            return cls.of_segments(params.prompt.segments, context, closed=asked)
        given = params.infill.infill_lengths or ((params.infill.infill_tokens,) if params.infill.infill_tokens else ())
        suffix = params.prompt.suffix or ""
        if params.prompt.messages is None:
            return cls(context, (params.prompt.text_input or "", suffix), (given,), closed=asked)
        *earlier, last = params.prompt.messages
        begun = last["role"] == "assistant"  # the answer's beginning
        context = tokenizer.render_chat(earlier if begun else params.prompt.messages, enable_thinking=False)
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
        """Return how many tokens the known text has, on both sides of all gaps.

        Raises:
            PromptTooLongError: they, the largest gaps and one block do not fit `capacity`.
        """
        gaps = sum(self.largest(gap, params.max_tokens) for gap in range(len(self.sizes)))
        room = capacity - params.block.block_length - gaps
        if room < 0:
            sizes = {
                "segments": params.prompt.segments,
                "infill_lengths": params.infill.infill_lengths,
                "infill_tokens": params.infill.infill_tokens,
            }
            field = next((name for name, value in sizes.items() if value), "max_tokens")
            limit = f"must ask for at most {capacity - params.block.block_length} tokens (capacity {capacity} - block)"
            raise PromptTooLongError(field, limit, f"{gaps} tokens")
        limit = (
            f"must leave room for gaps of {gaps} tokens and a block of {params.block.block_length} in the capacity of "
        )
        known = self.context + "".join(self.pieces[:-1])
        if not tokenizer.fits(known, room):
            raise PromptTooLongError(params.prompt.field, f"{limit}{capacity} tokens", f"{len(known)} characters")
        before, after = (len(tokenizer.encode(text)) if text else 0 for text in (known, self.pieces[-1]))
        if before > room:
            raise PromptTooLongError(params.prompt.field, f"{limit}{capacity} tokens", f"{before} tokens")
        return before + after
