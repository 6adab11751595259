"""Vocabulary: the bytes that each token of a byte-level tokenizer stands for, and the tokens that hold given bytes.

Knows nothing of texts or of how they are cut into tokens.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate

import numpy as np
import numpy.typing as npt
import tokenizers

Ids = npt.NDArray[np.int64]


def _alphabet() -> dict[str, int]:
    """Return the byte of each character in a byte-level vocabulary: printable ones are their own, others follow."""
    own = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in own]
    return {chr(byte): byte for byte in own} | {chr(256 + at): byte for at, byte in enumerate(others)}


BYTE_OF = _alphabet()


def bytes_of(token: str) -> bytes:
    """Return what an entry of a byte-level vocabulary stands for; a character that is no byte stands for itself."""
    return b"".join(bytes([BYTE_OF[char]]) if char in BYTE_OF else char.encode() for char in token)


class Vocabulary:
    """What each id stands for."""

    def __init__(self, tokens: Sequence[bytes]) -> None:
        self._tokens = tokens

    @classmethod
    def of_tokenizer(cls, backend: tokenizers.Tokenizer) -> Vocabulary:
        """Return the vocabulary of the library's tokenizer, which must be byte-level, as all released ones are."""
        added = backend.get_added_tokens_decoder()
        names = {number: token for token, number in backend.get_vocab(with_added_tokens=True).items()}
        tokens = (names.get(number, "") for number in range(max(names, default=-1) + 1))
        return cls([name.encode() if at in added else bytes_of(name) for at, name in enumerate(tokens)])

    @property
    def size(self) -> int:
        """How many ids there are."""
        return len(self._tokens)

    def of(self, ids: Sequence[int]) -> list[bytes]:
        """Return the bytes that each of `ids` stands for; empty for an id that is not known."""
        return [self._tokens[number] if number < len(self._tokens) else b"" for number in ids]

    def holding(self, part: bytes) -> Ids:
        """Return, in order, the ids of tokens in which `part` stands, a piece of UTF-8 text."""
        joined, starts = self._joined
        found, at = list[int](), joined.find(part)
        while at >= 0:
            found.append(bisect_right(starts, at) - 1)
            following = found[-1] + 1
            at = joined.find(part, starts[following]) if following < len(starts) else -1
        return np.array(found, dtype=np.int64)

    def exactly(self, part: bytes) -> Ids:
        """Return, in no order, the ids of tokens that stand for `part` and nothing else."""
        return self._by_beginning.equal(part)

    def around(self, first: bytes, last: bytes) -> Ids:
        """Return, in no order, the ids of tokens that begin with `first` and, after that, end with `last`."""
        beginning, ending = self._by_beginning.of(first), self._by_ending.of(last[::-1])
        if not first or not last:
            return ending if last else beginning
        few: list[int] = min(beginning, ending, key=len).tolist()
        least = len(first) + len(last)
        long = [number for number in few if len(self._tokens[number]) >= least]
        found = [at for at in long if self._tokens[at].startswith(first) and self._tokens[at].endswith(last)]
        return np.array(found, dtype=np.int64)

    @cached_property
    def _joined(self) -> tuple[bytes, list[int]]:
        """All tokens, with a byte between them that no UTF-8 text has, and where each begins."""
        starts = [0, *accumulate(len(token) + 1 for token in self._tokens[:-1])] if self._tokens else []
        return b"\xff".join(self._tokens), starts

    @cached_property
    def _by_beginning(self) -> _Sorted:
        return _Sorted(self._tokens)

    @cached_property
    def _by_ending(self) -> _Sorted:
        return _Sorted([token[::-1] for token in self._tokens])


class _Sorted:
    """Ids by what they stand for."""

    def __init__(self, tokens: Sequence[bytes]) -> None:
        order = sorted(range(len(tokens)), key=tokens.__getitem__)
        self._ids, self._tokens = np.array(order, dtype=np.int64), [tokens[number] for number in order]
        self._beyond = b"\xff" * (1 + max(map(len, tokens), default=0))

    def of(self, beginning: bytes) -> Ids:
        """Return the ids of the tokens that begin with `beginning`."""
        low, high = (bisect_left(self._tokens, bound) for bound in (beginning, beginning + self._beyond))
        return self._ids[low:high]

    def equal(self, token: bytes) -> Ids:
        """Return the ids of the tokens that are `token`."""
        return self._ids[bisect_left(self._tokens, token) : bisect_right(self._tokens, token)]
