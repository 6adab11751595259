"""From committed tokens to the text a client may see: incremental decoding and stop words across chunk borders.

Text that could be the beginning of a stop word is held back until it is certain. Knows nothing of engines or requests.
"""

from __future__ import annotations

from collections.abc import Sequence

from .tokenizer import Detokenizer, Tokenizer


class StopWords:
    """Watches a stream of text for whichever of several texts is complete first, so that chunking does not matter."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = tuple(words)
        self._held = ""
        self.found = False

    def push(self, text: str) -> str:
        """Take in `text`; return what is certain not to belong to a stop word. Sets `found` when one is complete."""
        if self.found:
            return ""
        self._held += text
        hits = [(at + len(word), at) for word in self._words if (at := self._held.find(word)) >= 0]
        if hits:
            self.found = True
            _, start = min(hits)
            safe, self._held = self._held[:start], ""
            return safe
        keep = max((_overlap(self._held, word) for word in self._words), default=0)
        cut = len(self._held) - keep
        safe, self._held = self._held[:cut], self._held[cut:]
        return safe

    def finish(self) -> str:
        """Return what was held back: no more text comes."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, word: str) -> int:
    """Return the length of the longest proper prefix of `word` that `text` ends with."""
    for size in range(min(len(text), len(word) - 1), 0, -1):
        if text.endswith(word[:size]):
            return size
    return 0


class AnswerText:
    """The visible text of one answer; `at_once` says that nobody reads it before the end, so it is decoded once."""

    def __init__(self, tokenizer: Tokenizer | None, stop_words: Sequence[str], *, at_once: bool) -> None:
        self._at_once = at_once and not stop_words
        self._detokenizer = Detokenizer(tokenizer) if tokenizer is not None else None
        self._stop = StopWords(stop_words) if stop_words else None

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
            text += self._stop.push(self._detokenizer.push([token]))
            if self._stop.found:
                return text, used, True
        return text, len(ids), False

    def finish(self) -> tuple[str, bool]:
        """Return (what was held back, whether a stop word turned up in it)."""
        if self._detokenizer is None:
            return "", False
        rest = self._detokenizer.finish()
        if self._stop is None:
            return rest, False
        text = self._stop.push(rest)
        return (text, True) if self._stop.found else (text + self._stop.finish(), False)
