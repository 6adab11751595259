"""PromptLookup: what followed when the last tokens stood in the prompt or the answer before. Knows tokens alone.

Sources: A. Saxena, Prompt Lookup Decoding, 2023; `prompt_lookup_num_tokens` of transformers and the method `ngram` of
vLLM do the same. Here the latest earlier place counts, and a text that repeats itself goes on doing so.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...api.counters import FreeDraft
from .matches import matches

Ints = npt.NDArray[np.int64]

LEAST_MATCH = 2
"""Tokens that must stand there; more of them, up to LONGEST_MATCH, go before fewer."""


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
        matched, end = 0, 0
        for size, ends in matches(text, text, last=-1):  # all but the last token itself
            if size >= LEAST_MATCH:
                matched, end = size, int(ends[-1])
        if not matched:
            return 0, text[:0]
        return matched, np.resize(text[end + 1 :], count)  # repeated where it ends too soon
