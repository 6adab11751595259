"""Lexicon: a checkpoint's tokens as the grammar library knows them. Knows no grammar."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt
from llguidance import LLTokenizer

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

NEARLY_ALL = 0.9
"""Share of the tokens with a text that may follow where words are free. More may, but for parts of letters and the
last part of a marker; of letters, digits and spaces alone it is less."""
MASKS_KEPT = 64
"""Masks that are kept unpacked; one takes a byte for each id, 8 MiB in all at 131,072 ids."""
CLOSERS = b"}])>"
"""Bytes that end what was begun."""


class Lexicon:
    """The tokens of one checkpoint; made once, which takes some ten milliseconds for each ten thousand tokens.

    Attributes:
        tokens: the library's own table.
        end_id: the id that it takes for the end of a text; never given to it.
        size: how many ids the model has.
    """

    def __init__(self, tokenizer_json: str, size: int, end_id: int) -> None:
        """Read the text of a tokenizer.json.

        Raises:
            ValueError: it is not one that the library reads.
        """
        self.tokens = LLTokenizer(tokenizer_json, n_vocab=size, eos_token=end_id, slices=LLTokenizer.json_slices())
        self.size, self.end_id = size, end_id
        self._unpacked: dict[tuple[bytes, tuple[int, ...]], Bools] = {}
        special = [number for number in range(size) if self.tokens.is_special_token(number)]
        self.special: Ints = np.array(special, dtype=np.int64)
        """(K,) ids that stand for no text: a grammar allows one where it names it, and never the end's."""
        hidden = set(special)
        pieces = [b"" if number in hidden else self.tokens.decode_bytes([number]) for number in range(size)]
        self.pieces = pieces
        """(V,) the bytes that each id stands for; none for a special one."""
        first = np.array([piece[0] if piece else 256 for piece in pieces], dtype=np.int64)
        size_of = np.array([len(piece) for piece in pieces], dtype=np.int64)
        self.short_first: Ints = np.lexsort((size_of, first))
        """(V,) the ids by their first byte, the shortest of each first."""
        self.first_byte: Ints = first
        """(V,) of each id; 256 for a special one."""
        self.is_special = np.isin(np.arange(size), self.special)
        self.ranks = np.array([_rank(piece) for piece in pieces], dtype=np.float32)
        """(V,) how willingly a token is taken to end a text soon; the lowest first."""
        self.ranks_in_text = np.array([_rank_in_text(piece) for piece in pieces], dtype=np.float32)
        """(V,) the same where nearly anything may come next, as inside of a string."""

    def unpack(self, bits: bytes, ends: tuple[int, ...] = ()) -> Bools:
        """Return a mask of the library, a bit for each id, as (V,) bool, which nobody may change.

        The end's bit is left out, and `ends` are allowed. Masks are kept for a while: within a text most are the same.
        """
        key = bits, ends
        if (known := self._unpacked.get(key)) is not None:
            return known
        allowed = np.unpackbits(np.frombuffer(bits, dtype=np.uint8), count=self.size, bitorder="little").view(np.bool_)
        allowed[self.end_id] = False
        allowed[list(ends)] = True
        allowed.setflags(write=False)
        if len(self._unpacked) >= MASKS_KEPT:
            self.forget_masks()
        self._unpacked[key] = allowed
        return allowed

    def forget_masks(self) -> None:
        """Keep no unpacked mask any longer."""
        self._unpacked.clear()

    def is_nearly_all(self, allowed: Bools) -> bool:
        """Whether a mask (V,) allows nearly any text to follow."""
        return bool((allowed & ~self.is_special).sum() > NEARLY_ALL * (self.size - len(self.special)))

    def spell(self, data: bytes) -> list[int]:
        """Return ids that together stand for `data`: the longest at each place, whatever the tokenizer would take.

        Raises:
            ValueError: no token stands for one of its bytes.
        """
        ids, at = list[int](), 0
        while at < len(data):
            for size in range(min(self._longest, len(data) - at), 0, -1):
                found = self._by_piece.get(data[at : at + size])
                if found is not None:
                    ids.append(found)
                    at += size
                    break
            else:
                raise ValueError(f"no token stands for byte {data[at]}")
        return ids

    def beginnings(self, data: bytes) -> list[int]:
        """Return the ids that stand for a beginning of `data`, the shortest first."""
        sizes = range(1, min(self._longest, len(data)) + 1)
        return [self._by_piece[data[:size]] for size in sizes if data[:size] in self._by_piece]

    @cached_property
    def _by_piece(self) -> dict[bytes, int]:
        return {piece: number for number, piece in reversed([*enumerate(self.pieces)]) if piece}

    @cached_property
    def _longest(self) -> int:
        return max(map(len, self.pieces))


def _rank(piece: bytes) -> float:
    if not piece:
        return 100.0
    length = len(piece) / 100
    if len(piece) > 1 and piece[:1] == b" ":  # a layout's own, in front of what matters
        return _rank(piece[1:]) + 0.2
    if all(byte in CLOSERS for byte in piece):
        return -10.0 - length
    if len(piece) == 1 and piece.isdigit():
        return -9.0
    if piece in (b"null", b"true", b"false"):
        return -8.0
    if piece[:1] == b'"' and all(byte in CLOSERS for byte in piece[1:]) and len(piece) > 1:
        return -7.0 - length
    if piece in (b"{}", b"[]", b'""'):
        return -6.0
    if piece in (b'"', b"[", b"{"):
        return {b'"': -5.0, b"[": -3.0, b"{": -2.0}[piece]
    if piece.isspace():
        return 9.0
    if b"\\" in piece:
        return 8.0
    if piece in (b"-", b".", b"e", b"E", b"+"):
        return 6.0
    return 5.0 if piece.startswith(b",") else -length


def _rank_in_text(piece: bytes) -> float:
    if piece[:1] == b'"' and all(byte in CLOSERS for byte in piece[1:]):
        return -20.0 - len(piece)
    return _rank(piece)
