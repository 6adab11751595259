"""Tables and medians in Markdown."""

from __future__ import annotations

from pathlib import Path

from trimode_perf.common.markdown import fill, spread, table


def test_columns_of_words_are_set_to_the_left() -> None:
    assert table(("mode", "ms"), [("auto", 1.5)]) == "| mode | ms |\n| --- | ---: |\n| auto | 1.5 |"


def test_which_columns_are_words_can_be_said() -> None:
    assert table(("a", "b"), [], left=("a", "b")).splitlines()[1] == "| --- | --- |"
    assert table(("a", "b"), [], left=()).splitlines()[1] == "| ---: | ---: |"


def test_a_median_has_its_quartiles() -> None:
    figures = {"median": 1.234, "low": 1, "high": 2}
    assert (spread(figures), spread(figures, 1)) == ("1.23 (1.00 to 2.00)", "1.2 (1.0 to 2.0)")


def test_a_text_is_filled_by_name(tmp_path: Path) -> None:
    (tmp_path / "it.md").write_text("{{a}} of {{b}}, {{c}}")
    assert fill(tmp_path / "it.md", {"a": 1, "b": "two"}) == "1 of two, {{c}}"
