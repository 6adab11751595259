"""What is seen of a file that changes."""

from __future__ import annotations

from pathlib import Path

from trimode.server.access.file_state import file_state


def test_a_change_is_seen_and_a_file_that_is_replaced_by_its_like(tmp_path: Path) -> None:
    file, other = tmp_path / "a", tmp_path / "b"
    assert file_state(file) == ()
    file.write_text("one", encoding="utf-8")
    first = file_state(file)
    assert file_state(file) == first
    file.write_text("other", encoding="utf-8")
    second = file_state(file)
    other.write_text("other", encoding="utf-8")
    other.replace(file)
    assert len({first, second, file_state(file)}) == 3
