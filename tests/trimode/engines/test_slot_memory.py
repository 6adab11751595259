"""How many slots fit, the number that would, and the words of the refusal and of the log."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from trimode.engines import slot_memory
from trimode.engines.slot_memory import GB, MOST, Memory, fit, gb, slots_of, slots_on_host
from trimode.errors import BundleError

from tests.support.toy import manifest

BUNDLE = Path("bundle")


@pytest.mark.parametrize(
    ("slots", "free", "expected"),
    [
        (4, 9, None),
        (5, 9, "Lower max_slots (TRIMODE_MAX_SLOTS) to 4, or set it to auto"),
        (1, 2, "Not even one slot fits: free GPU memory"),
        (1, 0, "Not even one slot fits: free GPU memory"),
    ],
)
def test_slots_of_two_bytes_and_one_for_the_rest(slots: int, free: int, expected: str | None) -> None:
    assert fit(slots, 2, 1, Memory(free, 10)) == (slots, expected)


@pytest.mark.parametrize(
    ("free", "most", "slots"), [(9, MOST, 4), (9, 3, 3), (3, MOST, 1), (2 * MOST + 1, 999, MOST), (10**9, 999, MOST)]
)
def test_auto_takes_what_fits_up_to_the_most(free: int, most: int, slots: int) -> None:
    assert fit("auto", 2, 1, Memory(free, 10**9), most) == (slots, None)


def test_auto_is_refused_where_not_even_one_slot_fits() -> None:
    assert fit("auto", 2, 1, Memory(2, 10, "memory")) == (1, "Not even one slot fits: free memory")


def test_the_log_says_how_many_slots_auto_took_and_why(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    fit(4, 2, 1, Memory(9, 9))
    assert caplog.text == ""
    fit("auto", GB, 2 * GB, Memory(6 * GB, 80 * GB), 3)
    assert caplog.messages == [
        "max_slots auto: 3 slots of 1.00 GB each, beside 2.00 GB for the rest; 6.00 GB of 80.00 GB are free, and 4 "
        "would fit"
    ]


def test_a_refusal_names_what_is_needed_and_what_is_there() -> None:
    with pytest.raises(BundleError) as caught:
        slots_of(BUNDLE, manifest(), "auto", (2 * GB, GB), Memory(GB, 80 * GB))
    assert str(caught.value) == (
        "bundle: GPU memory: max_slots auto needs 2.00 GB for keys, values and logits (2.00 GB each, capacity 512) and "
        "1.00 GB for the rest; with the weights loaded, 1.00 GB of 80.00 GB are free. Not even one slot fits: free GPU "
        "memory, or build with a smaller capacity"
    )


def test_a_number_is_taken_as_it_is_on_a_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slot_memory, "host_memory", lambda: (5 * GB, 8 * GB))
    assert slots_on_host(BUNDLE, manifest(), 100, (2 * GB, GB)) == 100
    assert slots_on_host(BUNDLE, manifest(), "auto", (2 * GB, GB)) == 2
    with pytest.raises(
        BundleError, match=r"memory: max_slots auto needs 9\.00 GB .* Not even one slot fits: free memory"
    ):
        slots_on_host(BUNDLE, manifest(), "auto", (9 * GB, GB))


def test_auto_is_refused_where_the_system_does_not_say_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slot_memory, "host_memory", lambda: None)
    with pytest.raises(
        BundleError, match="max_slots: auto needs /proc/meminfo, which cannot be read here; give a number"
    ):
        slots_on_host(BUNDLE, manifest(), "auto", (1, 1))


def test_bytes_are_given_in_gb() -> None:
    assert gb(3 * GB // 2) == "1.50 GB"
