"""Questions on pictures: what is drawn, how it is asked, and what is right without the picture."""

from __future__ import annotations

import base64
import io
from itertools import islice
from typing import Any

import numpy as np
import pytest
from PIL import Image
from trimode_perf.quality import pictures
from trimode_perf.quality.pictures import Scope
from trimode_train.data.pictures import PICTURES, Drawn, Variety

ALL = Scope.of({})


def pixels_of(drawn: Drawn, *, blank: bool) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Return the pixels that a question carries, read from its URL."""
    (message,) = pictures.prompt(drawn, blank=blank).messages or ()
    picture, text = message["content"]
    assert text == {"type": "text", "text": drawn.question}
    head, data = picture["image_url"]["url"].split(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def test_a_question_carries_its_picture_pixel_by_pixel() -> None:
    for drawn in ALL.questions(1):
        assert np.array_equal(pixels_of(drawn, blank=False), drawn.pixels)
        assert pictures.prompt(drawn).answer == drawn.answer


def test_a_blank_picture_has_the_size_alone() -> None:
    for drawn in ALL.questions(1):
        blank = pixels_of(drawn, blank=True)
        assert blank.shape == drawn.pixels.shape and set(blank.ravel()) == {pictures.GREY}


def test_what_is_asked_is_held_out_and_the_same_each_time() -> None:
    asked = ALL.questions(4)
    assert [one.domain for one in asked] == [name for name in PICTURES for _ in range(4)]
    assert all(Variety(held_out=True).keeps(one.layout) for one in asked)
    again = ALL.questions(4)
    assert all(np.array_equal(one.pixels, other.pixels) for one, other in zip(asked, again, strict=True))


def test_a_checkpoint_is_asked_what_it_was_trained_to_read() -> None:
    scope = Scope.of({"pictures": {"domains": ["number", "word"], "digits": 2, "words": 3}})
    asked = scope.questions(30)
    assert [one.domain for one in asked[::30]] == ["number", "word", pictures.UNSEEN]
    assert max(len(one.answer) for one in asked[:30]) == 2
    assert len({one.answer.replace(" ", "") for one in asked[30:60]}) == 3
    assert [task.name for task in Scope(("shape",), 5, 180).tasks] == ["shape"]


@pytest.mark.slow
def test_chance_is_what_the_question_tells() -> None:
    chance = ALL.chance()
    assert list(chance) == list(PICTURES)
    assert all(chance[name] < 0.05 for name in ("number", "word", "receipt"))  # of many different answers
    assert 0.08 < chance["chart"] < 0.3  # one of eight heights, or one of six colours
    assert 0.2 < chance["count"] < 0.6


def test_the_best_guess_is_learned_from_other_pictures_than_it_is_judged_by(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "LEARNED", 3)
    monkeypatch.setattr(pictures, "GUESSED", 4)
    small, large = (np.zeros((side, side, 3), dtype=np.uint8) for side in (28, 56))

    def drawn(answers: str, pixels: Any) -> list[Drawn]:
        return [Drawn("made", pixels, "?", answer, "") for answer in answers]

    learned = [*drawn("aab", small)]
    assert pictures._guessed(iter([*learned, *drawn("aaab", small)])) == 0.75
    assert pictures._guessed(iter([*learned, *drawn("aa", small), *drawn("aa", large)])) == 0.5
    assert len(list(islice(ALL.draw(PICTURES["shape"], "x"), 2))) == 2
