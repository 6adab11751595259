"""StopWords: finds stop words in a stream of text, also where they lie across the borders of its pieces.

Text that could be the beginning of a stop word is held back until it is certain. Knows nothing of tokens or requests.
"""

from __future__ import annotations

from collections.abc import Sequence

from .overlap import overlap


class StopWords:
    """Watches a stream of text for the first of several words that is complete, however the stream is cut."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = tuple(words)
        self._held = ""
        self.found = False

    def push(self, text: str) -> str:
        """Take in `text`; return the text that certainly belongs to no stop word. Set `found` if one is complete."""
        if self.found:
            return ""
        self._held += text
        hits = [(at + len(word), at) for word in self._words if (at := self._held.find(word)) >= 0]
        if hits:
            self.found = True
            _, start = min(hits)
            safe, self._held = self._held[:start], ""
            return safe
        keep = max((overlap(self._held, word, proper=True) for word in self._words), default=0)
        cut = len(self._held) - keep
        safe, self._held = self._held[:cut], self._held[cut:]
        return safe

    def finish(self) -> str:
        """Return the text that was held back, as no more will come."""
        held, self._held = self._held, ""
        return held
