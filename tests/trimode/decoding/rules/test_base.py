"""What rules may know of a place, and masks of allowed tokens in both forms."""

from __future__ import annotations

import numpy as np
from trimode.decoding.rules.base import Places, keep_only


def test_the_tokens_around_a_place_end_at_the_first_gap() -> None:
    known = [7, 8, None, 9, None, 5, 6]
    places = Places(np.array([4, 0]), lambda index: known[index] if 0 <= index < len(known) else None)
    assert (list(places.before(0)), list(places.after(0))) == ([9], [5, 6])
    assert (list(places.before(1)), list(places.after(1))) == ([], [8])


def test_a_mask_keeps_the_same_tokens_as_booleans_and_packed() -> None:
    allowed = np.zeros(40, dtype=bool)
    allowed[[0, 31, 32, 39]] = True
    packed = np.packbits(allowed, bitorder="little")
    packed = np.concatenate([packed, np.zeros(8 - len(packed), dtype=np.uint8)]).view(np.int32)
    for mask in (allowed, packed):
        scores = np.zeros(40, dtype=np.float32)
        keep_only(scores, mask)
        assert np.flatnonzero(np.isfinite(scores)).tolist() == [0, 31, 32, 39]
