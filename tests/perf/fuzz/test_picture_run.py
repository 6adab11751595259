"""Random pictures and URLs through the loader, some hundreds: each is read or refused in words, and nobody is asked."""

from __future__ import annotations

import random
from typing import Any

import pytest
from trimode_perf.fuzz import pictures
from trimode_perf.fuzz.picture_run import NAMED, claims, main, measure, measure_in, section

COUNT = 300
FOUND: dict[str, Any] = {
    "command": "python -m trimode_perf fuzz-pictures",
    "commit": "abc",
    "measured_at": "now",
    "hardware": {"cores": 2},
    "seed": 0,
    "outcomes": {"pictures": {"read": 1000, "bad_image": 2}, "URLs": {"bad_image_url": 3}},
    "faults": [],
    "names": ["localhost"],
    "connections": 0,
    "grown_mib": 7.0,
}


@pytest.mark.slow
def test_every_picture_is_read_or_refused_and_nobody_is_asked() -> None:
    looked_up: set[str] = set()
    for seed in (1, 2):
        found = measure(COUNT, seed)
        assert found["faults"] == []
        assert set(found["outcomes"]["pictures"]) == {"read", "bad_image"}
        assert set(found["outcomes"]["URLs"]) >= {"bad_image", "bad_image_url"}
        assert all(claim.holds for claim in claims(found))
        looked_up |= set(found["names"])
    assert looked_up and looked_up <= set(NAMED.split(",")), "these may be looked up"


@pytest.mark.parametrize(
    "kind", list(dict.fromkeys(pictures.KINDS)), ids=lambda kind: str(getattr(kind, "__name__", ""))
)
def test_each_kind_of_picture_makes_files(kind: Any) -> None:
    dice = random.Random(5)
    assert all(kind(dice) for _ in range(3))


@pytest.mark.parametrize(
    "found",
    [{"faults": ["URLs, number 1: KeyError"]}, {"connections": 1}, {"names": ["a.org"]}, {"grown_mib": 600.0}],
    ids=str,
)
def test_each_finding_breaks_a_claim(found: dict[str, Any]) -> None:
    assert all(claim.holds for claim in claims(FOUND))
    assert [claim.holds for claim in claims({**FOUND, **found})].count(False) == 1


def test_the_section_counts_what_was_tried() -> None:
    text = section(FOUND)
    assert "| pictures | 1,002 | bad_image 2, read 1,000 |" in text and "A process grew by 7 MiB" in text


@pytest.mark.subprocess  # git names the commit
def test_the_command_writes_its_record(tmp_path: Any) -> None:
    assert main(["--count", "3", "--out", str(tmp_path)]) == 0
    assert (tmp_path / "results" / "fuzz_pictures.json").is_file()


@pytest.mark.subprocess
def test_processes_share_the_pictures() -> None:
    found = measure_in(2, 5, 1)
    assert sum(found["outcomes"]["pictures"].values()) == sum(found["outcomes"]["URLs"].values()) == 5
    assert found["faults"] == [] and found["connections"] == 0
