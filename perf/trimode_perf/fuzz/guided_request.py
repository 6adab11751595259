"""Asked: one random guide on its way, by a mode or for gaps, and what became of its answer. Knows no other request."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from trimode.api.answer import Chunk
from trimode.errors import RequestError
from trimode.grammar.compiled import Compiled

from .guides import Guided

MODES: dict[str, dict[str, Any]] = {
    "autoregressive": {"mode": "autoregressive"},
    "self_speculation": {"mode": "self_speculation"},
    "self_speculation, quadratic": {"mode": "self_speculation", "speculation": "quadratic", "block_length": 8},
    "diffusion": {"mode": "diffusion"},
    "auto": {"mode": "auto"},
}
GAP, WHOLE = "a gap", "a whole text with gaps"
WAYS = (*MODES, GAP, WHOLE)
"""How a text is asked for: by a mode, for a gap that matches by itself, or for the gaps of a text that does."""
LARGEST_GAP = 24
"""Tokens of the largest gap whose size is searched: each size is decoded by itself."""
LONGEST = 400
"""Tokens of the longest shortest text that gets room for twice as many."""
SHORT_OF_ROOM = 48
"""Tokens for every third answer and for longer ones, whether they suffice or not."""
COMPLETE, CUT, COMPLEX = "complete", "cut", "too complex"
"""What may become of an answer: cut is one that its limit ended, or a gap without a filling."""


class Asked:
    """One guide on its way.

    Attributes:
        fits: whether twice the shortest text fits what may come.
    """

    def __init__(self, number: int, made: Compiled, guided: Guided, done: Callable[[Asked], None]) -> None:
        """Say what is asked for; `done` gets this once the last chunk has come."""
        self.number, self.way = number, WAYS[number % len(WAYS)]
        self._guided, self._done, self._chunks = guided, done, list[Chunk]()
        size = LONGEST + 1 if made.shortest is None else len(made.shortest)
        turn = number // len(WAYS)
        most = max(2 * size, 8) if turn % 3 and size <= LONGEST else SHORT_OF_ROOM
        self.fits = 2 * size <= most
        self.given: dict[str, Any] = {
            **{"max_tokens": most, "temperature": 1.0, "seed": number, "stream": bool(turn % 2)},
            **asking(guided.kind, guided.guide),
        }
        if self.way in MODES:
            self.given |= {"text_input": "Answer: ", **MODES[self.way]}
        elif self.way == GAP or made.shortest is None:
            sizes = sorted({-(-most // 2), most})
            self.given |= {"text_input": "Answer: ", "suffix": " is right.", "infill_lengths": sizes}
        else:
            segments, gaps = cut(str(made.lexicon.tokens.decode_str(list(made.shortest))), Random(number))
            most = max(8, *(2 * len(made.lexicon.spell(gap.encode())) for gap in gaps))
            self.fits = most <= LARGEST_GAP
            self.given |= {"segments": segments, "guided_decoding_scope": "whole", "exclude_input_in_output": False}
            self.given["max_tokens"] = min(most, LARGEST_GAP)

    def __call__(self, chunk: Chunk) -> None:
        """Take a chunk."""
        self._chunks.append(chunk)
        if chunk.last:
            self._done(self)

    def outcome(self) -> str:
        """Return what became of it; a text that is not what was asked is a fault, and begins with "fault".

        A grammar that gets too complex on its way ends its answer with an error.
        """
        last, text = self._chunks[-1], "".join(chunk.text for chunk in self._chunks)
        where = f"{self.way}, number {self.number}"
        if isinstance(last.error, RequestError) and last.error.error_type in ("bad_grammar", "no_filling"):
            return CUT if last.error.error_type == "no_filling" else COMPLEX
        if last.error is not None:
            return f"fault: {where}: {last.error}"
        if last.finish_reason != "stop":
            return CUT
        return COMPLETE if self._holds(text) else f"fault: {where}: {self._guided.guide!r} got {text!r}"

    def _holds(self, text: str) -> bool:
        try:
            return self._guided.holds(text)
        except ValueError:  # no JSON
            return False


def asking(kind: str, guide: str) -> dict[str, Any]:
    """Return the fields that ask for a guide; "json" has none."""
    return {"guided_decoding_guide_type": kind, **({"guided_decoding_guide": guide} if guide or kind != "json" else {})}


def cut(text: str, chance: Random) -> tuple[list[str | dict[str, int]], list[str]]:
    """Return `text` with one gap, or two, and what stood there."""
    count = 4 if chance.random() < 0.3 and len(text) > 8 else 2
    at = sorted(chance.randrange(len(text) + 1) for _ in range(count))
    pieces: list[str | dict[str, int]] = [text[: at[0]], {}]
    if count == 4:
        pieces += [text[at[1] : at[2]], {}]
    gaps = [text[begin:end] for begin, end in zip(at[::2], at[1::2], strict=True)]
    return [*pieces, text[at[-1] :]], gaps
