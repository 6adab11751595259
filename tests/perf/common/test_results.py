"""Files of results."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from trimode.config import ServerConfig
from trimode_perf.common.results import about, commit, describe, read, rounded, save

from tests.support.toy import manifest


def test_nested_results_are_rounded_to_five_digits() -> None:
    assert rounded({"a": [1.234567, (2, "b")]}) == {"a": [1.2346, [2, "b"]]}


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "it.json"
    for found in ({"b": 1, "a": [1.5]}, {"a": 2}):
        save(path, found)
        assert read(path) == found
    assert [other.name for other in path.parent.iterdir()] == ["it.json"]


def test_what_was_measured_says_when_how_and_on_what() -> None:
    head = about("make it", describe(manifest(), ServerConfig(threads=3)))
    assert head["measured_at"].endswith(" UTC")
    assert (head["command"], head["hardware"]["threads"], head["hardware"]["model"]) == ("make it", 3, manifest().model)


@pytest.mark.subprocess
def test_a_record_names_its_commit() -> None:
    assert re.fullmatch(r"[0-9a-f]{7,}( with changes)?", commit())
