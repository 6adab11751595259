"""PromptLookup: what followed when the last tokens stood in the prompt or the answer before. Knows tokens alone.

Sources: A. Saxena, Prompt Lookup Decoding, 2023; `prompt_lookup_num_tokens` of transformers and the method `ngram` of
vLLM do the same. Here the latest earlier place counts, and a text that repeats itself goes on doing so.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...api.counters import FreeDraft

Ints = npt.NDArray[np.int64]

LONGEST_MATCH, LEAST_MATCH = 4, 2
"""Tokens that must stand there: as many as possible up to the first number."""


class PromptLookup:
    """Finds drafts in the text so far. It keeps nothing, so it has nothing to follow."""

    kind: FreeDraft = "prompt_lookup"

    def follow(self, token: int, length: int) -> None:
        """Do nothing: each search is made in the whole text."""

    def next(self, text: Ints, count: int) -> tuple[int, Ints]:
        """Return at most `count` tokens that should follow `text` (T,), prompt and answer.

        Returns:
            The tokens of the match before them; and (n,) int64, empty where there is none.
        """
        size = 1
        ends = np.flatnonzero(text[:-1] == text[-1])  # each match's last token
        found, matched = ends[:0], 0
        while len(ends):
            if size >= LEAST_MATCH:
                found, matched = ends, size
            if size == LONGEST_MATCH:
                break
            ends = ends[ends >= size]
            ends = ends[text[ends - size] == text[-1 - size]]
            size += 1
        if not len(found):
            return 0, text[:0]
        return matched, np.resize(text[found[-1] + 1 :], count)  # repeated where it ends too soon
