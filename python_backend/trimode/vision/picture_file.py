"""Reads the bytes of a picture: PNG, JPEG, WebP, or GIF, to 8-bit RGB. Of an animation the first frame counts.

Nothing is decoded whose header claims more pixels than allowed, and Pillow is asked for these four formats alone.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
from PIL import GifImagePlugin, Image, ImageFile, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from ..errors import Described, RequestError
from .limits import ImageLimits

ROWS = 256
"""Rows whose colours are converted at once, which bounds the memory that the conversion takes."""
FORMATS: tuple[tuple[str, Callable[[bytes], bool], type[ImageFile.ImageFile]], ...] = (
    ("PNG", lambda data: data.startswith(b"\x89PNG\r\n\x1a\n"), PngImagePlugin.PngImageFile),
    ("JPEG", lambda data: data.startswith(b"\xff\xd8\xff"), JpegImagePlugin.JpegImageFile),
    ("WebP", lambda data: data[:4] == b"RIFF" and data[8:12] == b"WEBP", WebPImagePlugin.WebPImageFile),
    ("GIF", lambda data: data[:6] in (b"GIF87a", b"GIF89a"), GifImagePlugin.GifImageFile),
)
"""The formats that are read: the name, how a file of it begins, and Pillow's reader."""


def read(data: bytes, limits: ImageLimits, field: str) -> npt.NDArray[np.uint8]:
    """Return the pixels (H, W, 3) of a picture; what is not RGB is laid over white, as its own alpha says.

    The orientation that EXIF gives is ignored, as by the family's own loader.

    Args:
        data: the bytes of its file.
        limits: what is too large.
        field: where it came from, for errors.

    Raises:
        RequestError: bad_image; it is empty, too large, of another format, or broken.
    """
    with _opened(data, limits, field) as image:
        image.load()
        return _over_white(image)


def size_of(data: bytes, limits: ImageLimits, field: str) -> tuple[int, int]:
    """Return the width and height that a picture's header gives; the arguments and errors are those of `read`."""
    with _opened(data, limits, field) as image:
        return image.size


@contextmanager
def _opened(data: bytes, limits: ImageLimits, field: str) -> Iterator[Image.Image]:
    """Open a file, whose pixels are not decoded yet; whatever a reader raises inside becomes a RequestError."""
    _check_bytes(data, limits, field)
    name, reader = _format_of(data, field)
    if name == "WebP":  # Pillow's reader allocates the whole canvas when it opens a file
        _check_pixels(webp_size(data), limits, field)
    try:
        with reader(io.BytesIO(data)) as image:
            _check_pixels(image.size, limits, field)
            yield image
    except RequestError:
        raise
    except Exception as exc:  # each reader raises what it likes about broken files
        given = Described(f"{len(data)} bytes: {exc or type(exc).__name__}")
        raise RequestError(field, f"must be a {name} that can be decoded", given, error_type="bad_image") from exc


def webp_size(data: bytes) -> tuple[int, int]:
    """Return the width and height that a WebP file's header gives; (0, 0) if it gives none.

    As in the container's specification (RFC 9649): VP8X gives the canvas less one, VP8L 14 bits each less one.
    """
    kind, body = data[12:16], data[20:30]
    if len(body) < 10:
        return 0, 0
    if kind == b"VP8X":
        return int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1
    if kind == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return int.from_bytes(body[6:8], "little") & 0x3FFF, int.from_bytes(body[8:10], "little") & 0x3FFF


def _format_of(data: bytes, field: str) -> tuple[str, type[ImageFile.ImageFile]]:
    for name, begins, reader in FORMATS:
        if begins(data):
            return name, reader
    given = Described(f"{len(data)} bytes that begin with {data[:8].hex(' ')}")
    raise RequestError(field, "must be a PNG, JPEG, WebP or GIF", given, error_type="bad_image")


def _check_bytes(data: bytes, limits: ImageLimits, field: str) -> None:
    if not data:
        raise RequestError(field, "must not be empty", Described("0 bytes"), error_type="bad_image")
    if len(data) > limits.most_bytes:
        limit, given = f"must have at most {limits.most_bytes} bytes", Described(f"{len(data)} bytes")
        raise RequestError(field, limit, given, error_type="bad_image")


def _check_pixels(size: tuple[int, int], limits: ImageLimits, field: str) -> None:
    width, height = size
    if width < 1 or height < 1:
        limit, given = "must have at least one pixel", Described(f"{width} x {height} pixels")
        raise RequestError(field, limit, given, error_type="bad_image")
    if width * height > limits.most_pixels:
        limit, given = f"must have at most {limits.most_pixels} pixels", Described(f"{width} x {height} pixels")
        raise RequestError(field, limit, given, error_type="bad_image")


def _over_white(image: Image.Image) -> npt.NDArray[np.uint8]:
    """Return the pixels of a decoded picture over opaque white, (H, W, 3)."""
    if image.mode == "RGB":
        return np.asarray(image)
    pixels = np.empty((image.height, image.width, 3), dtype=np.uint8)
    for top in range(0, image.height, ROWS):
        rows = image.crop((0, top, image.width, min(top + ROWS, image.height))).convert("RGBA")
        white = Image.new("RGBA", rows.size, "WHITE")
        white.paste(rows, (0, 0), rows)
        pixels[top : top + rows.height] = np.asarray(white.convert("RGB"))
    return pixels
