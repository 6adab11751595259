"""The table of missed targets, of the results that are kept and of ones in which nothing is missed."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from trimode_perf.common import PERF
from trimode_perf.speed.pages import marks, missed


@pytest.fixture
def found() -> dict[str, Any]:
    """The results that are kept, in which speeds may be set."""
    return copy.deepcopy(dict(marks.read(PERF / "results")))


def set_speed(found: dict[str, Any], speed: float) -> None:
    for layers in found["bench"]["summary"]["speed_against_autoregressive"].values():
        layers["engine"]["per_token"]["median"] = speed


def test_a_block_bounds_what_a_mode_gains(found: dict[str, Any]) -> None:
    set_speed(found, 1.5)
    for row in found["cost"]["rows"]:
        row["times_one"]["median"] = 4.0
    for mode in found["decoding"]["all"].values():
        mode["tokens_per_forward"] = 10.0
    text = missed.text(found)
    assert "| self-speculation or auto 2 times as fast as autoregressive: 1.50 | a block takes 4.0" in text
    assert "gives 10.0 tokens a pass: at most 2.5 times, before the loop" in text


def test_a_target_that_is_met_has_no_line(found: dict[str, Any]) -> None:
    set_speed(found, 3.0)
    for name in ("peers", "smol-peers"):
        for row in found[name]["rows"]:
            for field in row.keys() & {"times_ours", "times_our_auto"}:
                row[field]["median"] = 9.0
        for row in found[name]["grid"]["rows"]:
            if "ours_over_it" in row:
                row["ours_over_it"]["median"] = 0.5
    for taken in found["auto_replay"]["domains"]["flat"].values():
        taken["auto"] = 0.001
    found["smol-drafts"]["precisions"]["int8"]["all"]["auto"]["speed"]["median"] = 2.0
    assert missed.text(found) == "Nothing that stands here is missed."
    found["smol-drafts"]["precisions"].pop("int8")
    assert missed.text(found) == "Nothing that stands here is missed."


def test_a_pass_of_one_token_is_split_into_what_is_fixed_and_what_grows(found: dict[str, Any]) -> None:
    for row in found["peers"]["grid"]["rows"]:
        row["milliseconds"]["median"] = 1.0 + 0.1 * (row["tokens"] - 1)
        if "ours_over_it" in row:
            row["ours_over_it"]["median"] = 1.3
    text = missed.text(found)
    assert "a pass over one token takes 1.15 of llama.cpp Q8_0's: 1.30" in text
    assert "So 0.90 ms are spent whatever the number of tokens, against 0.90" in text


def test_a_peer_that_failed_leaves_its_lines_out(found: dict[str, Any]) -> None:
    set_speed(found, 1.5)
    for name in ("peers", "smol-peers"):
        found[name]["rows"] = [{"peer": "llama.cpp F32", "error": "no memory"}]
        found[name]["grid"]["rows"] = []
    text = missed.text(found)
    assert "self-speculation or auto 2 times" in text and "llama.cpp" not in text
