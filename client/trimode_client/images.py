"""Pictures for a request: files, bytes, URLs, or those of Pillow, as URLs that the server reads.

Nothing is decoded here; the server says what it cannot read.
"""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from .errors import InvalidRequestError

SCHEMES = ("data:", "http://", "https://")
"""How a text begins that is a URL; any other text is the path of a file."""


class Savable(Protocol):
    """A picture of Pillow, or what saves itself as one does."""

    def save(self, fp: Any, format: str | None = None) -> None:
        """Write itself to a file in a format."""
        ...


Image = str | bytes | os.PathLike[str] | Savable
"""A picture: a URL or the path of a file, the bytes of one, or a picture of Pillow."""


def url_of(image: Image) -> str:
    """Return the URL of a picture: its own, or one that holds it.

    Raises:
        InvalidRequestError: a file cannot be read, a picture of Pillow cannot be saved, or it is something else.
    """
    if isinstance(image, str) and image.lower().startswith(SCHEMES):
        return image
    if isinstance(image, str | os.PathLike):
        try:
            data = Path(image).read_bytes()
        except (OSError, ValueError) as exc:
            raise InvalidRequestError("bad_image", f"the picture {image} cannot be read: {exc}") from exc
    elif isinstance(image, bytes | bytearray | memoryview):
        data = bytes(image)
    elif callable(getattr(image, "save", None)):
        file = io.BytesIO()
        try:
            image.save(file, format="PNG")
        except Exception as exc:  # Pillow raises what it likes, for colours that PNG does not have too
            limit = f"a picture cannot be saved as PNG, convert it to RGB or RGBA: {exc or type(exc).__name__}"
            raise InvalidRequestError("bad_image", limit) from exc
        data = file.getvalue()
    else:
        expected = "a path, a URL, bytes or a picture of Pillow"
        raise InvalidRequestError("wrong_type", f"a picture must be {expected}, got {type(image).__name__}")
    return f"data:;base64,{base64.b64encode(data).decode('ascii')}"


def with_images(prompt: Mapping[str, Any], images: Sequence[Image]) -> dict[str, Any]:
    """Return the fields of a prompt with pictures: before what the last message of the user says, or before the text.

    Args:
        prompt: fields by their names on the wire.
        images: in their order.

    Raises:
        InvalidRequestError: one cannot be read, or there is no message of the user for them.
    """
    if isinstance(images, str | bytes) or not isinstance(images, Sequence):
        raise InvalidRequestError("wrong_type", f"images must be a list, got {type(images).__name__}")
    urls = [url_of(one) for one in images]
    if not urls or "messages" not in prompt:
        return {**prompt, **({"image_url_input": urls} if urls else {})}
    messages = [dict(one) for one in prompt["messages"]]
    asked = next((one for one in reversed(messages) if one.get("role") == "user"), None)
    if asked is None:
        raise InvalidRequestError("bad_image", "images need a message of the user, before whose text they stand")
    said = asked.get("content", "")
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    asked["content"] = [*parts, *(said if isinstance(said, list) else [{"type": "text", "text": said}])]
    return {**prompt, "messages": messages}
