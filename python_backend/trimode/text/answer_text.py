"""AnswerText: from committed tokens to the text a client may see, decoded piece by piece and cut at stop words.

Knows nothing of engines or requests.
"""

from __future__ import annotations

from collections.abc import Sequence

from .detokenizer import Detokenizer
from .stop_words import StopWords
from .tokenizer import Tokenizer


class AnswerText:
    """The visible text of one answer."""

    def __init__(
        self,
        tokenizer: Tokenizer | None,
        stop_words: Sequence[str],
        *,
        at_once: bool,
        least: int = 0,
        show_stop: bool = False,
        show_special: bool = False,
    ) -> None:
        """Begin an answer.

        Args:
            at_once: nobody reads it before its end, so it is decoded once.
            least: tokens before whose end no stop word ends the answer.
            show_stop: the stop word stays in the text. show_special: special tokens do.
        """
        self._at_once = at_once and not stop_words
        self._detokenizer = Detokenizer(tokenizer, special=show_special) if tokenizer is not None else None
        self._stop = StopWords(stop_words, show=show_stop) if stop_words else None
        self._least = least
        self._read = 0  # tokens taken in, counted where there are stop words

    def push(self, ids: Sequence[int]) -> tuple[str, int, bool]:
        """Take in committed `ids`; return (new text, how many ids were used, whether a stop word ended the answer).

        With stop words ids are read one by one, so that the answer ends at the same token however they arrive.
        """
        if self._detokenizer is None:
            return "", len(ids), False
        if self._at_once:
            self._detokenizer.hold(ids)
            return "", len(ids), False
        if self._stop is None:
            return self._detokenizer.push(ids), len(ids), False
        text = ""
        for used, token in enumerate(ids, start=1):
            self._read += 1
            text += self._stop.push(self._detokenizer.push([token]), search=self._read > self._least)
            if self._stop.found:
                return text, used, True
        return text, len(ids), False

    def finish(self) -> tuple[str, bool]:
        """Return (the text that was held back, whether a stop word was found in it)."""
        if self._detokenizer is None:
            return "", False
        rest = self._detokenizer.finish()
        if self._stop is None:
            return rest, False
        text = self._stop.push(rest, search=self._read > self._least)
        return (text, True) if self._stop.found else (text + self._stop.finish(), False)
