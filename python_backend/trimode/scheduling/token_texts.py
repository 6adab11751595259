"""TokenTexts: the text of each token of a block that has gaps, remembered from block to block.

Knows nothing of sequences or snapshots.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from ..text.detokenizer import Detokenizer
from ..text.tokenizer import BROKEN, Tokenizer

PLACEHOLDER = "\N{LIGHT SHADE}"
"""What stands in the text for a masked token."""


class TokenTexts:
    """Texts of tokens. One thread asks."""

    def __init__(self, tokenizer: Tokenizer | None) -> None:
        """Begin with none known; without a tokenizer tokens have no text."""
        self._tokenizer = tokenizer
        self._alone: tuple[dict[int, str | None], dict[int, str | None]] = {}, {}

    def of(self, ids: Sequence[int | None], *, special: bool) -> list[str]:
        """Return the text of each of `ids`, which follow each other; None is a masked token.

        A character over several tokens is the text of its last one; bytes that are no whole character are U+FFFD.

        Args:
            special: special tokens have their text.
        """
        if self._tokenizer is None:
            return [PLACEHOLDER if token is None else "" for token in ids]
        alone = self._alone[special]  # by id; None where a text depends on the tokens around
        found = [PLACEHOLDER if token is None else alone.get(token) for token in ids]
        texts = [text for text in found if text is not None]
        return texts if len(texts) == len(ids) else self._run_by_run(ids, self._tokenizer, special=special)

    def _run_by_run(self, ids: Sequence[int | None], tokenizer: Tokenizer, *, special: bool) -> list[str]:
        """Return the texts where some are not known yet, or depend on the tokens around."""
        texts: list[str] = []
        for masked, group in groupby(ids, key=lambda token: token is None):
            run = list(group)
            if masked:
                texts += [PLACEHOLDER] * len(run)
            else:
                texts += self._of_run([token for token in run if token is not None], tokenizer, special=special)
        return texts

    def _of_run(self, ids: Sequence[int], tokenizer: Tokenizer, *, special: bool) -> list[str]:
        alone = self._alone[special]
        for token in ids:
            if token not in alone:
                alone[token] = _whole(token, tokenizer, special=special)
        known = [text for token in ids if (text := alone[token]) is not None]
        if len(known) == len(ids):
            return known
        detokenizer = Detokenizer(tokenizer, special=special)
        texts = [detokenizer.push([token]) for token in ids]
        texts[-1] += detokenizer.finish()
        return texts


def _whole(token: int, tokenizer: Tokenizer, *, special: bool) -> str | None:
    """Return the text of a token, None where it may be another one beside others."""
    text = tokenizer.decode([token], special=special) if tokenizer.joins else BROKEN
    return None if BROKEN in text else text
