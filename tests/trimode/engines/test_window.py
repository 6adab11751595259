"""One pass over lanes that lie side by side."""

from __future__ import annotations

from trimode.engines.window import Window


def test_the_line_of_each_row_is_found_from_the_row_of_each_line() -> None:
    made = Window("a shape", {0: 2, 3: 0, 1: 1}, [5, 0, 9, 9])
    assert made.lines == {2: 0, 0: 3, 1: 1}
    assert {made.members[line] for line in made.lines.values()} == {0, 1, 2}
