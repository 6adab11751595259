"""RequestPictures: the pictures of one request, and where they stand in its prompt. Knows nothing of their files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..api.params import PromptParams
from ..api.rows.images import IMAGE_FIELDS, IMAGE_PAD, Content
from ..vision.encoded import PromptPictures
from ..vision.expansion import expand, expand_all, expanded_length
from ..vision.loader import Loaded


@dataclass(frozen=True)
class RequestPictures:
    """The pictures of a request.

    Attributes:
        loaded: in the order of the prompt.
        in_text: an id 18 stands in the prompt for each; otherwise they stand before it.
        field: of the prompt, for errors.
        seen: whether the model reads pictures at all, so that ids 18 to 21 are theirs.
    """

    loaded: tuple[Loaded, ...] = ()
    in_text: bool = False
    field: str = ""
    seen: bool = False

    @classmethod
    def of(cls, prompt: PromptParams, loaded: Sequence[Loaded]) -> RequestPictures:
        """Return the pictures of a prompt for a model that reads them."""
        in_text = not (prompt.text_input is not None or prompt.segments is not None or prompt.text is not None)
        return cls(tuple(loaded), in_text or prompt.instruction is not None, prompt.field, True)

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
            RequestError: bad_image; the ids do not have one 18 for each picture, or have ids of a picture's inside.
        """
        if not self.seen:
            return list(ids)
        cells = [one.cells for one in self.loaded]
        if self.in_text:
            return expand_all(ids, cells, self.field)
        return [*(token for one in cells for token in expand(one)), *expand_all(ids, (), self.field)]

    def of_prompt(self, placed: Sequence[int]) -> PromptPictures | None:
        """Return what a sequence has to know of pictures; `placed` is its prompt with their places."""
        if not self.loaded:
            return None
        return PromptPictures.of(placed, IMAGE_PAD, [one.encoded for one in self.loaded])


def before(prompt: PromptParams, text: str) -> Content:
    """Return an instruction with the pictures of its request before it."""
    return (*prompt.images, text) if prompt.images else text


def may_hold_pictures(given: Mapping[str, object]) -> bool:
    """Return whether a request that is not checked yet may hold pictures: messages are searched, not read."""
    if any(given.get(name) for name in IMAGE_FIELDS):
        return True
    messages = given.get("messages")
    return "image" in (messages if isinstance(messages, str) else str(messages))


NO_PICTURES = RequestPictures()
"""Of a request to a model that reads text alone."""
