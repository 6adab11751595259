"""PlainText: encodes texts in which some special tokens count as text, those that are marked or guarded.

Knows nothing of templates or requests.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from typing import Any

import tokenizers

from ..errors import Described, RequestError
from .special_tokens import SpecialTokens, places, unmarked

IdsAndPlaces = tuple[list[int], list[tuple[int, int]]]
"""Ids and, for each, the characters that it belongs to, start and end."""


class PictureTokens:
    """The special tokens of pictures: the server puts them in, and they count as text wherever a caller writes them."""

    def __init__(self, special: Mapping[str, int], ids: Sequence[int]) -> None:
        """Find them by `ids`, that of a picture's start first, among the `special` tokens by name."""
        self._names = {name: number for name, number in special.items() if number in ids}
        self._start = next((name for name, number in self._names.items() if number == ids[0]), None)
        self.ids = tuple(self._names.values())

    def first_in(self, text: str) -> str | None:
        """Return the first of them that stands in a text."""
        return next((name for name in self._names if name in text), None)

    def check(self, text: str, field: str) -> None:
        """Refuse a text that is read beside pictures and in which one is written.

        Raises:
            RequestError: one is.
        """
        if found := self.first_in(text):
            raise RequestError(field, f"must not hold {found} beside a picture", text, error_type="bad_image")

    def with_places(self, content: Any) -> Any:
        """Return what a message says as one text, in which the token of a picture's start stands for each picture.

        Raises:
            RequestError: there is no such token.
        """
        if not isinstance(content, tuple):
            return content
        if (start := self._start) is None:
            limit = "must hold no picture, for which this model has no token"
            raise RequestError("messages", limit, Described("one"), error_type="not_applicable")
        return "".join(one if isinstance(one, str) else start for one in content)


class PlainText:
    """A tokenizer for which special tokens are text; made for the first text that needs it."""

    def __init__(self, backend: tokenizers.Tokenizer) -> None:
        """Take the library's tokenizer, which stays as it is."""
        self._backend = backend

    @cached_property
    def special_tokens(self) -> SpecialTokens:
        """Finds those of a text."""
        return SpecialTokens(self._backend)

    @cached_property
    def _alone(self) -> tokenizers.Tokenizer:
        made = tokenizers.Tokenizer.from_str(self._backend.to_str())
        made.encode_special_tokens = True
        return made

    def encode_marked(self, text: str) -> IdsAndPlaces:
        """Encode the special tokens that are not marked as such, and everything between two of them as text."""
        return self._encode(text, self.special_tokens.find(text), marked=True)

    def encode_guarded(self, text: str, guarded: Collection[int]) -> IdsAndPlaces:
        """Encode a text that is not marked: its special tokens count as such, but for those of the ids `guarded`."""
        counted = [one for one in self.special_tokens.find(text) if one[2] not in guarded]
        return self._encode(text, counted, marked=False)

    def _encode(self, text: str, counted: Sequence[tuple[int, int, int]], *, marked: bool) -> IdsAndPlaces:
        """Encode a text with the special tokens `counted`, each its start, its end and its id."""
        ids, offsets, at = list[int](), list[tuple[int, int]](), 0
        for start, end, number in [*counted, (len(text), len(text), None)]:
            between = text[at:start]
            found = self._alone.encode(unmarked(between) if marked else between, add_special_tokens=False)
            ids += found.ids
            where = found.offsets
            if marked:
                of = places(between)
                where = [(of[first][0], of[max(first, last - 1)][1]) for first, last in where]
            offsets += [(at + first, at + last) for first, last in where]
            if number is not None:
                ids.append(number)
                offsets.append((start, end))
            at = end
        return ids, offsets
