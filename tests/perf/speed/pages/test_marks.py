"""Pages are of their results, and what was not measured stays."""

from __future__ import annotations

from pathlib import Path

import pytest
from trimode_perf.common import PERF, PROJECT
from trimode_perf.speed.pages import marks

PAGE = "# A\n\n<!-- result cost -->\nold\n<!-- /result cost -->\n\nB\n"


@pytest.mark.parametrize("name", marks.PAGES)
def test_a_page_is_what_its_results_say(name: str) -> None:
    page = (PROJECT / name).read_text(encoding="utf-8")
    assert marks.filled(page, marks.read(PERF / "results")) == page


def test_every_text_stands_on_a_page() -> None:
    pages = [(PROJECT / name).read_text(encoding="utf-8") for name in marks.PAGES]
    assert sorted(mark[2] for page in pages for mark in marks.MARKED.finditer(page)) == sorted(marks.BLOCKS)


def test_a_text_stays_where_something_was_not_measured() -> None:
    assert marks.filled(PAGE, {}) == PAGE


def test_texts_are_written_between_their_marks(tmp_path: Path) -> None:
    page = tmp_path / marks.PAGES[0]
    page.parent.mkdir(parents=True)
    page.write_text(PAGE)
    marks.write(tmp_path, PERF / "results")
    assert page.read_text().startswith("# A\n\n<!-- result cost -->\nWhat a pass costs")
    assert page.read_text().endswith("\n<!-- /result cost -->\n\nB\n")


def test_tables_and_code_are_not_filled() -> None:
    assert marks.wrapped("a\nb\n\n| c |\n| d |\n\n```text\ne\nf\n```\n") == "a b\n\n| c |\n| d |\n\n```text\ne\nf\n```"
