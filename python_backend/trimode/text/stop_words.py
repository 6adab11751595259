"""StopWords: finds stop words in a stream of text, also where they lie across the borders of its pieces.

Text that could be the beginning of a stop word is held back until it is certain. Knows nothing of tokens or requests.
"""

from __future__ import annotations

from collections.abc import Sequence

from .overlap import overlap


class StopWords:
    """Watches a stream of text for the first of several words that is complete, however the stream is cut."""

    def __init__(self, words: Sequence[str], *, show: bool = False) -> None:
        """Look for `words`; `show` says that the word itself is returned too."""
        self._words = tuple(words)
        self._show = show
        self._held = ""
        self._passed = 0  # characters of the held text within which no word counts as complete
        self.found = False

    def push(self, text: str, *, search: bool = True) -> str:
        """Take in `text`; return the text that certainly belongs to no stop word. Set `found` if one is complete.

        Without `search` no word ends in `text`; one may still begin there.
        """
        if self.found:
            return ""
        self._held += text
        if not search:
            self._passed = len(self._held)
        firsts = [(word, self._held.find(word, max(self._passed - len(word) + 1, 0))) for word in self._words]
        hits = [(at + len(word), at) for word, at in firsts if at >= 0]
        if hits:
            self.found = True
            end, start = min(hits)
            safe, self._held = self._held[: end if self._show else start], ""
            return safe
        keep = max((overlap(self._held, word, proper=True) for word in self._words), default=0)
        cut = len(self._held) - keep
        safe, self._held = self._held[:cut], self._held[cut:]
        self._passed = max(self._passed - cut, 0)
        return safe

    def finish(self) -> str:
        """Return the text that was held back, as no more will come."""
        held, self._held = self._held, ""
        return held
