"""What rules may know of a place."""

from __future__ import annotations

import numpy as np
from trimode.decoding.rules.base import Places


def test_the_tokens_around_a_place_end_at_the_first_gap() -> None:
    known = [7, 8, None, 9, None, 5, 6]
    places = Places(np.array([4, 0]), lambda index: known[index] if 0 <= index < len(known) else None)
    assert (list(places.before(0)), list(places.after(0))) == ([9], [5, 6])
    assert (list(places.before(1)), list(places.after(1))) == ([], [8])
