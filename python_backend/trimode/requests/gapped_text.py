"""GappedText: the text of a request to fill gaps: its pieces, its gaps and their sizes, and what stands before them.

Knows nothing of decoding or of queues.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ..api.params import GenerationParams
from ..api.rows.images import Content
from ..errors import PromptTooLongError
from ..text.special_tokens import MARK
from ..text.tokenizer import Tokenizer
from .pictures import before


@dataclass(frozen=True)
class GappedText:
    """A text with gaps: `context`, which is read and not returned, then pieces[0], gap, pieces[1], gap, …"""

    context: str
    pieces: tuple[str, ...]
    sizes: tuple[tuple[int, ...], ...]  # of each gap; empty means to search
    closed: bool  # the last piece ends the model's turn
    marked: bool = False  # special tokens of the chat count as text and are marked where it is read: Tokenizer.encode
    begun: str = ""  # pieces[0] as it is read, where that is marked

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
        prompt, infill, begun = params.prompt, params.infill, ""
        chat: list[Mapping[str, Content]] = list(prompt.messages or ())
        if prompt.instruction is not None:
            chat = [{"role": "user", "content": before(prompt, prompt.instruction)}]
        elif chat and chat[-1]["role"] == "assistant":  # the answer's beginning
            begun = str(chat.pop()["content"])
        made = cls("", (prompt.text_input or begun, prompt.suffix or ""), (infill.sizes,), closed=False)
        if prompt.segments is not None:
            made = cls.of_segments(prompt.segments, "", closed=False)
        if prompt.messages is None and prompt.instruction is None:
            return made
        field, special = "messages" if prompt.instruction is None else "instruction", prompt.allow_special_tokens
        context = tokenizer.render_chat(chat, enable_thinking=False, field=field, allow_special_tokens=special)
        marks = tokenizer.mark(begun, allow_special_tokens=special) if begun else ""
        for piece in made.pieces if prompt.images else ():
            tokenizer.picture_tokens.check(piece, prompt.field)
        marked = tokenizer.marks(allow_special_tokens=special) and (bool(prompt.images) or MARK in context + marks)
        return replace(made, context=context, closed=True, marked=marked, begun=marks if marked else "")

    def largest(self, gap: int, searched: int) -> int:
        """Return the most tokens that may fill `gap`; `searched` where it has no size of its own."""
        return max(self.sizes[gap], default=searched)

    @property
    def _read(self) -> tuple[str, ...]:
        return (self.begun or self.pieces[0], *self.pieces[1:])

    def left(self, fills: Sequence[str]) -> str:
        """Return all that stands before the first gap that is not among `fills`."""
        read = self._read
        return self.context + "".join(map("".join, zip(read, fills, strict=False))) + read[len(fills)]

    def begun_with(self, fills: Sequence[str]) -> str:
        """Return the text up to the first gap that is not among `fills`, without its context."""
        return "".join(map("".join, zip(self.pieces, fills, strict=False))) + self.pieces[len(fills)]

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
        known = self.context + "".join(self._read[:-1])
        if not tokenizer.fits(known, room):
            raise PromptTooLongError(params.prompt.field, f"{limit}{capacity} tokens", f"{len(known)} characters")
        field = params.prompt.field
        before = len(tokenizer.encode(known, marked=self.marked, field=field)) if known else 0
        behind = "suffix" if params.prompt.suffix else field
        after = len(tokenizer.encode(self.pieces[-1], field=behind)) if self.pieces[-1] else 0
        if before > room:
            raise PromptTooLongError(params.prompt.field, f"{limit}{capacity} tokens", f"{before} tokens")
        return before + after
