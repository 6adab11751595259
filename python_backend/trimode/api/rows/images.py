"""Pictures of a request: rows of the table, parts of messages that are pictures, and how large a picture is made.

Knows no pixels, and fetches nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from ...errors import Described, RequestError
from ..field import Field

CELL = 28
"""Pixels of a side of a cell, of which the language model sees one feature row: 2 x 2 patches of 14."""
DEFAULT_MAX_IMAGE_SIZE = 1400
"""Pixels of the longer side at most: the family's own value, 50 cells."""
LEAST_IMAGE_SIZE = CELL
MOST_IMAGE_SIZE = 1400
"""The bounds of `max_image_size`, in pixels; above the family's own value no picture was read in training."""
MOST_IMAGE_CHARACTERS = 28 * 2**20
"""Of a picture as base64: the 20 MiB that a file may have, and room for a media type."""
MOST_MESSAGES_CHARACTERS = 64 * 2**20
"""Of messages with their pictures; the largest body that the server takes is a lower limit by default."""
IMAGE_FIELDS = ("image_bytes_input", "image_url_input")
"""The fields that hold pictures, in the order in which these stand in the prompt."""

ROWS: tuple[Field, ...] = (
    Field(
        "image_bytes_input",
        "strings",
        "none",
        "Pictures, files in base64. With input_ids each takes the place of an id 18; else they stand before the text.",
        most_characters=MOST_IMAGE_CHARACTERS,
        empty_is_none=True,
    ),
    Field(
        "image_url_input",
        "strings",
        "none",
        "Pictures by URL: data:, or http and https from hosts that the operator named. They stand where "
        "image_bytes_input do, after these.",
        most_characters=MOST_IMAGE_CHARACTERS,
        empty_is_none=True,
    ),
    Field(
        "max_image_size",
        "int",
        str(DEFAULT_MAX_IMAGE_SIZE),
        "Pixels of a picture's longer side at most, a multiple of 28; fewer take fewer tokens of the prompt.",
        LEAST_IMAGE_SIZE,
        MOST_IMAGE_SIZE,
        check="image_size",
    ),
)


@dataclass(frozen=True)
class ImageSource:
    """One picture of a request: base64 or a URL, and the field that it came in."""

    kind: Literal["base64", "url"]
    value: str
    field: str


Content = str | tuple[str | ImageSource, ...]
"""What a message says: a text, or texts and pictures in their order."""


def check_max_image_size(field: str, value: int) -> int:
    """Return a size that pictures can be made to fit.

    Raises:
        RequestError: it is out of bounds, or no multiple of 28.
    """
    if not LEAST_IMAGE_SIZE <= value <= MOST_IMAGE_SIZE:
        raise RequestError(field, f"must be between {LEAST_IMAGE_SIZE} and {MOST_IMAGE_SIZE}", value)
    if value % CELL:
        raise RequestError(field, f"must be a multiple of {CELL}", value)
    return value


def image_part(name: str, part: Mapping[Any, Any]) -> ImageSource | None:
    """Return the picture of one part of a message, in the shapes of OpenAI, Anthropic and transformers; None if none.

    Raises:
        RequestError: it is one, and it has other keys, or its data is no text.
    """
    if part["type"] == "image_url":
        _only(name, part, {"type", "image_url"})
        inner, place = part.get("image_url"), f"{name}.image_url"
        if isinstance(inner, Mapping):
            _only(place, inner, {"url", "detail"})
            inner, place = inner.get("url"), f"{place}.url"
        return ImageSource("url", _text(place, inner), place)
    if part["type"] != "image":
        return None
    _only(name, part, {"type", "source", "image", "url", "base64", "cache_control"})
    places = [key for key in ("source", "image", "url", "base64") if key in part]
    if len(places) != 1:
        given = Described(", ".join(places) or "none")
        raise RequestError(name, "must hold one of the keys source, image, url and base64", given)
    place, inner = f"{name}.{places[0]}", part[places[0]]
    if places[0] != "source":
        return ImageSource("base64" if places[0] == "base64" else "url", _text(place, inner), place)
    if not isinstance(inner, Mapping) or inner.get("type") not in ("base64", "url"):
        raise RequestError(
            f"{place}.type", "must be base64 or url", inner.get("type") if isinstance(inner, Mapping) else inner
        )
    _only(place, inner, {"type", "media_type", "data"} if inner["type"] == "base64" else {"type", "url"})
    key = "data" if inner["type"] == "base64" else "url"
    return ImageSource(inner["type"], _text(f"{place}.{key}", inner.get(key)), f"{place}.{key}")


def sources_of(values: Mapping[str, Any]) -> tuple[ImageSource, ...]:
    """Return the pictures of checked fields, in the order in which they stand in the prompt."""
    found = [one for message in values.get("messages") or () for one in images_in(message["content"])]
    for at, one in enumerate(values.get("image_bytes_input") or ()):
        found.append(ImageSource("base64", one, f"image_bytes_input[{at}]"))
    for at, one in enumerate(values.get("image_url_input") or ()):
        found.append(ImageSource("url", one, f"image_url_input[{at}]"))
    return tuple(found)


def without_files(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a checked message whose pictures have no data."""
    content = message["content"]
    if isinstance(content, str):
        return message
    parts = tuple(replace(part, value="") if isinstance(part, ImageSource) else part for part in content)
    return {**message, "content": parts}


def images_in(content: Content) -> Iterable[ImageSource]:
    """Return the pictures of what a message says."""
    return () if isinstance(content, str) else [one for one in content if isinstance(one, ImageSource)]


def check_images(values: dict[str, Any], most: int) -> None:
    """Check how the pictures of a request go together with its other fields; fill in their size.

    Args:
        values: checked fields.
        most: pictures that a request may have; 0 where the model reads text alone.

    Raises:
        RequestError: there are pictures and the model reads none, or too many, or they stand beside messages; or a size
            without a picture.
    """
    sources = sources_of(values)
    if not sources:
        if "max_image_size" in values:
            limit, given = "needs a picture", values["max_image_size"]
            raise RequestError("max_image_size", limit, given, error_type="not_applicable")
        return
    given = Described("a picture" if len(sources) == 1 else f"{len(sources)} pictures")
    if not most:
        limit = "must hold no picture: this model reads text alone"
        raise RequestError(sources[0].field, limit, given, error_type="not_applicable")
    beside = next((name for name in IMAGE_FIELDS if values.get(name)), None)
    if beside is not None and "messages" in values:
        limit = "does not go together with messages, whose parts hold their pictures"
        raise RequestError(beside, limit, given, error_type="not_applicable")
    if len(sources) > most:
        raise RequestError("the request", f"must hold at most {most} pictures", given)
    values.setdefault("max_image_size", DEFAULT_MAX_IMAGE_SIZE)


def _only(name: str, part: Mapping[Any, Any], known: set[str]) -> None:
    if unknown := [str(key) for key in part if key not in known]:
        raise RequestError(name, f"must hold no keys but {', '.join(sorted(known))}", unknown[0])


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise RequestError(name, "must be a string", value, error_type="wrong_type")
    if len(value) > MOST_IMAGE_CHARACTERS:
        given = Described(f"{len(value)} characters")
        raise RequestError(name, f"must be at most {MOST_IMAGE_CHARACTERS} characters", given)
    return value
