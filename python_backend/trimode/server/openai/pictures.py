"""Pictures in the messages of OpenAI's and Anthropic's clients: read into parts as generate has them, and counted.

Nothing is decoded here: of a picture that came with the request the header says how large it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...api.rows.images import CELL, DEFAULT_MAX_IMAGE_SIZE, IMAGE_FIELDS, ImageSource, image_part, sources_of
from ...bundle.vision_facts import PictureIds
from ...errors import RequestError
from ...vision.expansion import expand_all, expanded_length
from ...vision.limits import ImageLimits
from ...vision.picture_file import size_of
from ...vision.size import cells_of
from ...vision.sources import is_data, of_base64, of_data
from .shared.errors import face_error, refused

KINDS = ("image_url", "input_image", "image")
"""Types of parts that are pictures: of chats, of responses, and of Anthropic's messages."""
UserContent = str | list[dict[str, Any]]
"""What a user says: a text, or parts of texts and pictures, each {"type", "text"} or {"type", "image_url"}."""
PARTS_OF_INPUT_IMAGE = ("type", "image_url", "detail", "file_id")
"""Keys of a picture of responses; `detail` has no effect, as in chats."""
LIMITS = ImageLimits()


def read_picture(name: str, part: Mapping[str, Any]) -> dict[str, Any]:
    """Return a part that is a picture as chats have it, with a URL.

    Raises:
        FaceError: it holds none.
    """
    if part["type"] == "input_image":
        if part.get("file_id") is not None:
            raise refused(f"{name}.file_id", "is not served: nothing is kept between requests", part["file_id"])
        if unknown := [key for key in part if key not in PARTS_OF_INPUT_IMAGE]:
            raise refused(f"{name}.{unknown[0]}", "is not a part of a picture", part[unknown[0]], "unknown_field")
        part = {"type": "image_url", "image_url": part.get("image_url")}
    try:
        source = image_part(name, part)
    except RequestError as exc:
        raise face_error(exc) from exc
    assert source is not None
    url = source.value if source.kind == "url" else f"data:;base64,{source.value}"
    return {"type": "image_url", "image_url": {"url": url}}


def joined(parts: Sequence[str | dict[str, Any]]) -> UserContent:
    """Return what the parts of a message say: one text where no picture stands among them."""
    if all(isinstance(part, str) for part in parts):
        return "".join(map(str, parts))
    return [{"type": "text", "text": part} if isinstance(part, str) else part for part in parts if part]


def before_text(text: str, content: UserContent) -> UserContent:
    """Return what a message says with a text before it."""
    return text + content if isinstance(content, str) else [{"type": "text", "text": text}, *content]


def urls_in(messages: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the pictures of messages, in order."""
    parts = [part for one in messages if isinstance(one["content"], list) for part in one["content"]]
    return [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]


def for_template(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message as Tokenizer.render_chat takes it."""
    content = message["content"]
    if isinstance(content, str):
        return dict(message)
    parts = (part["text"] if part["type"] == "text" else ImageSource("url", "", "messages") for part in content)
    return {**message, "content": tuple(parts)}


def has_pictures(job: Mapping[str, Any]) -> bool:
    """Whether a job holds pictures, which may make megabytes of it."""
    return any(name in job for name in IMAGE_FIELDS) or bool(urls_in(job.get("messages", ())))


def extra_tokens(job: Mapping[str, Any]) -> tuple[int, bool]:
    """Return how many tokens more a job's prompt has once its pictures stand in it, and whether that is certain.

    Of a picture that is still to be fetched it is the most that it may take.

    Raises:
        FaceError: a picture that came with the request cannot be read.
    """
    sources = _sources_of(job)
    inside = len(sources) if "messages" in job or "input_ids" in job else 0  # each has an id already
    return sum(map(expanded_length, _cells_in(job, sources))) - inside, not any(map(_is_fetched, sources))


def with_places(ids: Sequence[int], job: Mapping[str, Any], places: PictureIds) -> list[int]:
    """Return the ids of a job's messages with the places of their pictures, as many as `extra_tokens` counts.

    Raises:
        FaceError: a picture that came with the request cannot be read.
    """
    return expand_all(ids, _cells_in(job, _sources_of(job)), places, "messages")


def _sources_of(job: Mapping[str, Any]) -> list[ImageSource]:
    urls = [ImageSource("url", one, "messages") for one in urls_in(job.get("messages", ()))]
    return [*urls, *sources_of({name: job[name] for name in IMAGE_FIELDS if name in job})]


def _is_fetched(source: ImageSource) -> bool:
    return source.kind == "url" and not is_data(source.value)


def _cells_in(job: Mapping[str, Any], sources: Sequence[ImageSource]) -> list[tuple[int, int]]:
    """Return the cells of pictures, the most that it may have for one that is still to be fetched."""
    longest = job.get("max_image_size", DEFAULT_MAX_IMAGE_SIZE)
    most = longest // CELL, longest // CELL
    return [most if _is_fetched(one) else _cells_of(one, longest) for one in sources]


def _cells_of(source: ImageSource, longest: int) -> tuple[int, int]:
    """Return the cells of a picture that came with the request, as its header gives them."""
    try:
        read = of_base64 if source.kind == "base64" else of_data
        return cells_of(*size_of(read(source.value, LIMITS, source.field), LIMITS, source.field), longest)
    except RequestError as exc:
        raise face_error(exc) from exc
