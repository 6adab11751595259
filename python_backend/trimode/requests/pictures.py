"""RequestPictures: the pictures of one request, and where they stand in its prompt. Knows nothing of their files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..api.params import PromptParams
from ..api.rows.images import Content
from ..bundle.vision_facts import VisionFacts
from ..vision.encoded import PromptPictures
from ..vision.expansion import check_places, expand, expand_all, expanded_length
from ..vision.loader import Loaded, Loader


@dataclass(frozen=True)
class RequestPictures:
    """The pictures of a request.

    Attributes:
        loaded: in the order of the prompt.
        in_text: an id of a picture's start stands in the prompt for each; otherwise they stand before it.
        field: of the prompt, for errors.
        facts: the ids of a picture's places; None where the model reads text alone.
    """

    loaded: tuple[Loaded, ...] = ()
    in_text: bool = False
    field: str = ""
    facts: VisionFacts | None = None

    @classmethod
    def of(cls, prompt: PromptParams, facts: VisionFacts, loaded: Sequence[Loaded] = ()) -> RequestPictures:
        """Return the pictures of a prompt for a model that reads them."""
        in_text = not (prompt.text_input is not None or prompt.segments is not None or prompt.text is not None)
        return cls(tuple(loaded), in_text or prompt.instruction is not None, prompt.field, facts)

    @property
    def tokens(self) -> int:
        """Places of a prompt that the pictures take."""
        return sum(expanded_length(one.cells) for one in self.loaded)

    @property
    def extra(self) -> int:
        """Places that a prompt has more when its pictures are put in."""
        return self.tokens - len(self.loaded) if self.in_text else self.tokens

    def placed(self, ids: Sequence[int]) -> list[int]:
        """Return the ids of a prompt with the places of all pictures.

        Raises:
            RequestError: bad_image; the ids do not have one start for each picture, or have ids of a picture's inside.
        """
        if self.facts is None:
            return list(ids)
        cells = [one.cells for one in self.loaded]
        if self.in_text:
            return expand_all(ids, cells, self.facts.ids, self.field)
        before = [token for one in cells for token in expand(one, self.facts.ids)]
        return [*before, *expand_all(ids, (), self.facts.ids, self.field)]

    def of_prompt(self, placed: Sequence[int]) -> PromptPictures | None:
        """Return what a sequence has to know of pictures; `placed` is its prompt with their places."""
        if not self.loaded or self.facts is None:
            return None
        return PromptPictures.of(placed, self.facts.pad, [one.encoded for one in self.loaded])


def check_pictures(prompt: PromptParams, loader: Loader) -> None:
    """Check what can be known of a prompt's pictures before one is fetched or decoded.

    Raises:
        RequestError: a URL may not be asked, or ids do not have one start for each picture.
    """
    loader.check(prompt.images)
    if prompt.images and prompt.input_ids is not None:
        check_places(prompt.input_ids, len(prompt.images), loader.facts.ids, prompt.field)


def before(prompt: PromptParams, text: str) -> Content:
    """Return an instruction with the pictures of its request before it."""
    return (*prompt.images, text) if prompt.images else text


NO_PICTURES = RequestPictures()
"""Of a request to a model that reads text alone."""
