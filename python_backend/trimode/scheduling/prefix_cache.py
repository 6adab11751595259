"""PrefixCache: keys and values of texts read before, page by page, so that a shared beginning is read once.

A page is the keys and values of PAGE tokens after one particular text; it is found by that text exactly, not by a
hash of it. What was used longest ago goes first. Where a picture stands, a key of what it shows
stands in place of its pads' id. Knows nothing of engines: pages are read and written by the caller.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

PAGE = 16
"""Tokens of a page: shared beginnings are found up to the last whole page."""

Pages = npt.NDArray[np.float32]
Key = tuple[int | str, tuple[int, ...]]  # the number of the page before, or the salt if there is none, and its tokens


@dataclass
class _Page:
    number: int
    data: Pages


class PrefixCache:
    """Pages up to `budget` bytes. Not thread-safe: the scheduler's thread owns it."""

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._pages: OrderedDict[Key, _Page] = OrderedDict()
        self._size = 0
        self._page_bytes = 0  # of the page that was read last: all are of one size
        self._numbers = 0
        self.asked_tokens = 0
        """Tokens of all prompts that were looked up."""
        self.found_tokens = 0
        """Of those, tokens that did not have to be read again."""

    @property
    def size(self) -> int:
        """Bytes held."""
        return self._size

    @property
    def enabled(self) -> bool:
        """Whether anything may be kept."""
        return self._budget > 0

    def count(self, asked: int, pages: int) -> None:
        """Count a prompt of `asked` tokens, of which `pages` pages were found."""
        self.asked_tokens += asked
        self.found_tokens += PAGE * pages

    def find(self, prompt: Sequence[int], salt: str = "") -> list[Pages]:
        """Return the pages that `prompt` begins with, first to last; at least its last token is always left to read.

        Args:
            salt: pages that were kept with another one are not found.
        """
        found: list[Pages] = []
        keys: list[Key] = []
        before: int | str = salt
        for at in range(0, (len(prompt) - 1) // PAGE * PAGE, PAGE):
            key = (before, tuple(prompt[at : at + PAGE]))
            page = self._pages.get(key)
            if page is None:
                break
            found.append(page.data)
            keys.append(key)
            before = page.number
        self._touch(keys)
        return found

    def keep(self, tokens: Sequence[int], read: Callable[[int, int], Pages], salt: str = "") -> None:
        """Keep the whole pages of `tokens` that are not held yet, first to last, as far as the budget goes.

        Args:
            read: from (start, count) to a copy of the keys and values of those tokens.
            salt: they are found with the same one alone.
        """
        if not self.enabled:
            return
        keys: list[Key] = []
        before: int | str = salt
        used = 0
        for at in range(0, len(tokens) // PAGE * PAGE, PAGE):
            key = (before, tuple(tokens[at : at + PAGE]))
            page = self._pages.get(key)
            if page is None:
                if used + self._page_bytes > self._budget:
                    break  # it would be the first to go
                self._numbers += 1
                page = self._pages[key] = _Page(self._numbers, read(at, PAGE))
                self._page_bytes = page.data.nbytes
                self._size += page.data.nbytes
            used += page.data.nbytes
            keys.append(key)
            before = page.number
        self._touch(keys)
        while self._size > self._budget:
            _, oldest = self._pages.popitem(last=False)
            self._size -= oldest.data.nbytes

    def _touch(self, keys: list[Key]) -> None:
        """Record that these were used, the last page before the first, so that no page outlives the one before it."""
        for key in reversed(keys):
            self._pages.move_to_end(key)
