"""Where the pictures of a request stand in its prompt."""

from __future__ import annotations

import numpy as np
import pytest
from trimode.api.params import PromptParams
from trimode.errors import RequestError
from trimode.requests.pictures import NO_PICTURES, RequestPictures, before
from trimode.vision.encoded import Encoded
from trimode.vision.expansion import expand
from trimode.vision.loader import Loaded

from tests.support.pictures import FACTS

ONE = Loaded(Encoded(np.zeros((1, 2), dtype=np.float32), -5), (1, 1))
TWO = Loaded(Encoded(np.ones((2, 2), dtype=np.float32), -6), (2, 1))


def test_ids_and_messages_say_where_pictures_stand() -> None:
    pictures = RequestPictures.of(PromptParams(input_ids=(5, 18, 6, 18)), FACTS, [ONE, TWO])
    placed = pictures.placed([5, 18, 6, 18])
    assert placed == [5, *expand((1, 1), FACTS.ids), 6, *expand((2, 1), FACTS.ids)]
    assert (pictures.tokens, pictures.extra) == (7, 5)
    found = pictures.of_prompt(placed)
    assert found is not None
    assert found.places.tolist() == [at for at, token in enumerate(placed) if token == 19]
    assert found.keys == (-5, -6, -6)


@pytest.mark.parametrize(
    "prompt", [PromptParams(text_input="a"), PromptParams(segments=("a", None)), PromptParams(text="a")]
)
def test_beside_a_text_they_stand_before_it(prompt: PromptParams) -> None:
    pictures = RequestPictures.of(prompt, FACTS, [TWO])
    assert pictures.placed([7, 8]) == [*expand((2, 1), FACTS.ids), 7, 8]
    assert pictures.extra == 4
    with pytest.raises(RequestError, match="id 18"):
        pictures.placed([18])


def test_an_instruction_has_them_before_its_words() -> None:
    prompt = PromptParams(text="a", instruction="mend", image_url_input=("u",))
    assert before(prompt, "mend") == (*prompt.images, "mend")
    assert RequestPictures.of(prompt, FACTS, [ONE]).placed([18, 7]) == [*expand((1, 1), FACTS.ids), 7]
    assert before(PromptParams(text="a"), "mend") == "mend"


def test_a_model_of_text_alone_has_no_places() -> None:
    assert NO_PICTURES.placed([18, 19]) == [18, 19]
    assert NO_PICTURES.of_prompt([18, 19]) is None and NO_PICTURES.extra == 0
