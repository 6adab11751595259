"""Detokenizer: ids in, text out, piece by piece, without ever cutting a character.

Knows nothing of stop words or requests.
"""

from __future__ import annotations

from collections.abc import Sequence

from .tokenizer import BROKEN, Tokenizer


class Detokenizer:
    """Ids in, text out, piece by piece; the pieces joined are exactly `decode` of all ids.

    A piece is held back while its last bytes may still become a character; written for byte-level tokenizers, as all
    released checkpoints have.
    """

    def __init__(self, tokenizer: Tokenizer, *, special: bool = False) -> None:
        """Show special tokens in the text if they are asked for."""
        self._tokenizer = tokenizer
        self._special = special
        self._ids: list[int] = []
        self._start = 0  # the first of the tokens that are decoded with the next piece, as its context
        self._read = 0  # tokens whose text was returned

    def hold(self, ids: Sequence[int]) -> None:
        """Take in `ids` without decoding them yet."""
        self._ids += ids

    def push(self, ids: Sequence[int]) -> str:
        """Take in `ids`; return the text that is certain now."""
        self.hold(ids)
        piece = self._pending()
        if not piece.endswith(BROKEN):
            if piece:
                self._start, self._read = self._read, len(self._ids)
            return piece
        # An unfinished character has at most 3 bytes, so it lies in the last 3 tokens; text before them may be certain.
        for cut in range(len(self._ids) - 1, max(self._read, len(self._ids) - 4), -1):
            tail = self._text(cut)
            if tail and self._text(self._start, cut) + tail == self._text(self._start):
                return self._advance(cut)
        return ""

    def finish(self) -> str:
        """Return the text that was held back; broken bytes become U+FFFD."""
        return self._advance(len(self._ids))

    def _pending(self) -> str:
        return self._text(self._start)[len(self._text(self._start, self._read)) :]

    def _advance(self, end: int) -> str:
        """Return the text up to token `end` that was not returned yet."""
        piece = self._text(self._start, end)[len(self._text(self._start, self._read)) :]
        self._start, self._read = self._read, end
        return piece

    def _text(self, start: int, end: int | None = None) -> str:
        return self._tokenizer.decode(self._ids[start:end], special=self._special)
