"""The pictures of the guide and its section, as they are drawn and written; what the server says is tests/server's."""

from __future__ import annotations

import numpy as np
from trimode_perf.quality.pictures import Scope, png

from scripts import picture_guide

ALL = Scope.of({})
PICTURES = picture_guide.drawn(ALL)
ANSWERS = [dict.fromkeys(picture_guide.MODES, f"answer\n{number} ") for number in range(3)]


def test_three_small_pictures_are_drawn_the_same_each_time() -> None:
    again = picture_guide.drawn(ALL)
    assert [one.domain for one in PICTURES] == list(picture_guide.DOMAINS)
    assert all(np.array_equal(one.pixels, other.pixels) for one, other in zip(PICTURES, again, strict=True))
    assert all(len(png(one.pixels)) < picture_guide.MOST_BYTES for one in PICTURES)
    assert not np.array_equal(PICTURES[0].pixels, picture_guide.drawn(ALL, seed=picture_guide.SEED + 1)[0].pixels)


def test_a_picture_shows_what_the_checkpoint_reads() -> None:
    scope = Scope.of({"pictures": {"domains": ["number"], "digits": 1, "words": 180}})
    assert all(len(picture_guide.drawn(scope, ["number"], seed)[0].answer) == 1 for seed in range(5))


def test_the_section_has_every_answer_beside_the_right_one() -> None:
    text = picture_guide.section(PICTURES, ANSWERS)
    for number, one in enumerate(PICTURES):
        shown = f"![{one.domain}](../images/picture-{one.domain}.png)"
        assert f"| {shown} | {one.question} | {one.answer} |{f' answer {number} |' * 5}\n" in text
    assert f'examples/read_picture.py docs/images/picture-{PICTURES[0].domain}.png "{PICTURES[0].question}"' in text


def test_the_section_takes_the_place_of_an_older_one() -> None:
    page = picture_guide.PAGE.read_text(encoding="utf-8")
    once = picture_guide.written(page, picture_guide.section(PICTURES, ANSWERS))
    other = picture_guide.section(PICTURES, [dict.fromkeys(picture_guide.MODES, "other")] * 3)
    assert once.count("## Try it on a laptop\n") == 1 and "answer 2" in once
    assert once.index("## Try it on a laptop\n") < once.index(picture_guide.NEXT)
    twice = picture_guide.written(once, other)
    assert twice.count("## Try it on a laptop\n") == 1 and "answer 2" not in twice
    assert picture_guide.SECTION.sub("", twice) == picture_guide.SECTION.sub("", page)


def test_the_example_has_one_row_behind_the_others() -> None:
    readme = picture_guide.ROW.sub("", picture_guide.README.read_text(encoding="utf-8"))
    once = picture_guide.with_row(readme, PICTURES[0], "one")
    twice = picture_guide.with_row(once, PICTURES[0], "two")
    (row,) = picture_guide.ROW.findall(twice)
    assert row.endswith(f'docs/images/picture-{PICTURES[0].domain}.png "{PICTURES[0].question}"` | `two` |\n')
    assert twice.replace(row, "") == readme
    assert twice[: twice.index(row)].splitlines()[-1].startswith("| [reveal_rules/every_other.py]")
