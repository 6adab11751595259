"""Pictures show what their answers say, and training never draws what is held out."""

from __future__ import annotations

from itertools import product
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from trimode_train.data.pictures import PICTURES, Variety, base, charts, line, numbers, receipts, shapes, words
from trimode_train.data.pictures.canvas import CELL, COLOURS, Canvas, plain, shade
from trimode_train.data.pictures.fonts import HELD_OUT_FACES, TRAINING_FACES, Face, write
from trimode_train.data.pictures.lexicon import HELD_OUT_WORDS, TRAINING_WORDS

CLEAN = Variety(noise=False)


def nearest(pixel: npt.NDArray[Any]) -> str:
    """The named colour that is nearest to a pixel."""
    return min(COLOURS, key=lambda name: int(abs(pixel.astype(int) - COLOURS[name]).sum()))


def coloured(pixels: base.Pixels) -> npt.NDArray[np.bool_]:
    """Where a picture on grey, black or white paper has a colour, (H, W)."""
    return np.ptp(pixels.astype(int), axis=2) > 60


@pytest.mark.parametrize(("name", "held_out"), [*product(PICTURES, (False, True))])
def test_a_picture_depends_on_its_random_state_alone(name: str, held_out: bool) -> None:
    variety = Variety(held_out)
    once, again = (PICTURES[name].make(Random(f"{name} 3"), variety) for _ in range(2))
    assert np.array_equal(once.pixels, again.pixels)
    assert (once.question, once.answer, once.layout) == (again.question, again.answer, again.layout)
    assert once.check(f" {once.answer}\n") and not once.check(once.answer + "x")
    assert once.pixels.dtype == np.uint8 and not any(side % CELL for side in once.pixels.shape[:2])


@pytest.mark.parametrize("name", PICTURES)
def test_training_and_held_out_pictures_share_no_layout(name: str) -> None:
    rng = Random(5)
    train, kept = ({PICTURES[name].make(rng, Variety(h)).layout for _ in range(60)} for h in (False, True))
    assert train and kept and not train & kept


def test_training_and_held_out_pictures_share_no_font_and_no_unseen_word() -> None:
    rng = Random(5)
    assert {Variety().face(rng) for _ in range(400)} == set(TRAINING_FACES)
    assert {Variety(held_out=True).face(rng) for _ in range(400)} == set(HELD_OUT_FACES)
    assert not set(TRAINING_FACES) & set(HELD_OUT_FACES)
    assert not set(TRAINING_WORDS) & set(HELD_OUT_WORDS)
    assert len(TRAINING_WORDS) + len(HELD_OUT_WORDS) == 200
    answers = {words.word(rng, Variety(h)).answer.replace(" ", "") for h in (False, True) for _ in range(200)}
    assert answers <= set(TRAINING_WORDS)
    assert words.unseen_word(rng, Variety(held_out=True)).answer.replace(" ", "") in HELD_OUT_WORDS
    assert PICTURES["unseen_word"].weight == 0


@pytest.mark.parametrize("wrong", [{"digits": 6}, {"digits": 0}, {"faces": 99}, {"words": 0}])
def test_a_variety_refuses_what_there_is_not(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be 1 to"):
        Variety(**wrong)


@pytest.mark.parametrize("face", [*TRAINING_FACES, *HELD_OUT_FACES], ids=lambda face: face.name)
def test_every_font_has_all_digits_and_letters_and_they_differ(face: Face) -> None:
    letters = "0123456789abcdefghijklmnopqrstuvwxyz"
    inks = {letter: write(face, 24, letter) for letter in letters}
    assert all(ink.max() > 200 and min(ink.shape) > 1 for ink in inks.values())
    assert len({(ink.shape, ink.tobytes()) for ink in inks.values()}) == len(letters)
    assert 13 <= inks["8"].shape[0] <= 23  # digits look about as high in every font


def test_a_line_of_text_is_as_wide_as_its_letters_and_is_cut_to_its_ink() -> None:
    face = TRAINING_FACES[0]
    one, two = write(face, 24, "8"), write(face, 24, "88")
    assert one.shape[0] == two.shape[0] and two.shape[1] >= 2 * one.shape[1]
    ink = two[:, np.flatnonzero(two.any(axis=0))]
    assert np.array_equal(ink.sum(), 2 * one.sum(dtype=int)) and two[:, 0].any() and two[:, -1].any()


def test_the_ink_of_a_line_lies_in_its_box_and_nowhere_else() -> None:
    for seed in range(30):
        drawn = line.line_of(Random(seed), CLEAN, "40817")
        left, top, right, bottom = drawn.box
        dark = drawn.pixels.min(axis=2) < 255
        assert dark[top:bottom, left:right].mean() > 0.1
        dark[top:bottom, left:right] = False
        assert not dark.any()


def test_numbers_have_every_length_and_no_leading_zero() -> None:
    rng = Random(0)
    answers = [numbers.number(rng, Variety(digits=3)).answer for _ in range(300)]
    assert {len(answer) for answer in answers} == {1, 2, 3}
    assert all(str(int(answer)) == answer for answer in answers)


def test_the_shape_has_the_colour_of_the_answer() -> None:
    for seed in range(60):
        drawn = shapes.shape(Random(seed), CLEAN)
        middle = np.argwhere(coloured(drawn.pixels))
        seen = nearest(np.median(drawn.pixels[tuple(middle.T)], axis=0))
        if " " in drawn.answer or drawn.answer in COLOURS:
            assert seen in drawn.answer.split()


def test_a_stencil_has_the_area_of_its_shape() -> None:
    areas = {"circle": np.pi / 4, "square": 0.81, "triangle": 0.5, "cross": 0.51, "ring": 0.16 * np.pi, "diamond": 0.5}
    assert set(areas) == set(shapes.SHAPES)
    for name, area in areas.items():
        assert shapes.stencil(name, 60).mean() / 255 == pytest.approx(area, abs=0.02), name


def test_as_many_shapes_are_in_the_parts_as_are_counted() -> None:
    asked = 0
    for seed in range(80):
        drawn = shapes.count(Random(seed), CLEAN)
        filled = sum(coloured(drawn.pixels[y : y + CELL, x : x + CELL]).any() for y in (0, 28, 56) for x in (0, 28, 56))
        if "shapes" in drawn.question and not any(name in drawn.question for name in COLOURS):
            asked += 1
            assert int(drawn.answer) == filled, seed
    assert asked


def test_the_shape_is_at_the_place_of_the_answer() -> None:
    asked = 0
    for seed in range(80):
        drawn = shapes.place(Random(seed), CLEAN)
        named = [name for name in COLOURS if name in drawn.question]
        if drawn.answer in shapes.PLACES and named:
            asked += 1
            row, column = divmod(shapes.PLACES.index(drawn.answer), 3)
            part = drawn.pixels[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL]
            assert nearest(np.median(part[coloured(part)], axis=0)) == named[0]
    assert asked


def test_a_bar_is_as_tall_as_the_answer() -> None:
    asked = 0
    for seed in range(80):
        drawn = charts.chart(Random(seed), CLEAN)
        heights: dict[str, int] = {}
        has = coloured(drawn.pixels)
        for column in np.flatnonzero(has.any(axis=0)):
            name = nearest(drawn.pixels[charts.FLOOR - 2, column])
            heights[name] = round(has[: charts.FLOOR, column].sum() / charts.UNIT)
        if drawn.answer.isdigit():
            asked += 1
            assert heights[next(name for name in COLOURS if name in drawn.question)] == int(drawn.answer)
        else:
            extreme = max if "tallest" in drawn.question else min
            assert drawn.answer == extreme(heights, key=lambda name: heights[name])
    assert asked


def test_the_total_of_a_receipt_stands_at_the_right_of_its_last_line() -> None:
    for seed in range(20):
        drawn = receipts.receipt(Random(seed), CLEAN)
        dark = drawn.pixels.min(axis=2) < 128
        rows = np.flatnonzero(dark.any(axis=1))
        assert rows[0] < 24 and rows[-1] > 50
        assert dark[:, -5 - 20 : -4].any() and not dark[:, -3:].any()
        assert 0.2 <= float(drawn.answer) <= 19.8 and drawn.answer[-3] == "."


def test_ink_that_does_not_fit_is_refused() -> None:
    canvas = Canvas((1, 1), (255, 255, 255))
    canvas.paste(np.full((4, 4), 255, dtype=np.uint8), 24, 24, (0, 0, 0))
    assert canvas.pixels.sum() == (28 * 28 - 16) * 3 * 255
    for x, y in ((25, 0), (0, 25), (-1, 0), (0, -1)):
        with pytest.raises(ValueError, match="outside"):
            canvas.paste(np.full((4, 4), 255, dtype=np.uint8), x, y, (0, 0, 0))


def test_noise_strays_about_the_pixels_and_shades_keep_their_names() -> None:
    rng = Random(0)
    canvas = Canvas((4, 2), (128, 128, 128))
    spread = {round(float(Canvas((4, 2), (128, 128, 128)).finish(rng, True).std())) for _ in range(60)}
    assert spread == {0, 3, 6, 10, 15}
    assert np.array_equal(canvas.finish(rng, False), np.full((56, 112, 3), 128))
    assert all(nearest(np.array(shade(rng, name))) == name for name in COLOURS for _ in range(50))
    assert all(abs(sum(ink) - sum(paper)) > 300 for ink, paper in (plain(rng, True) for _ in range(50)))


def test_a_question_has_several_wordings() -> None:
    rng = Random(0)
    assert {base.asked(rng, numbers.QUESTIONS) for _ in range(100)} == set(numbers.QUESTIONS)
