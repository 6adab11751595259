"""Whether slots fit, and the number that would."""

from __future__ import annotations

import pytest
from trimode.engines.slot_memory import GB, advice, gb


@pytest.mark.parametrize(
    ("slots", "free", "expected"),
    [
        (4, 9, None),
        (5, 9, "Lower max_slots (TRIMODE_MAX_SLOTS) to 4"),
        (1, 2, "Not even one slot fits: free GPU memory"),
        (1, 0, "Not even one slot fits: free GPU memory"),
    ],
)
def test_slots_of_two_bytes_and_one_for_the_rest(slots: int, free: int, expected: str | None) -> None:
    assert advice(slots, 2, 1, free) == expected


def test_bytes_are_given_in_gb() -> None:
    assert gb(3 * GB // 2) == "1.50 GB"
