"""Where the bytes of a picture come from: base64, data: URLs, or a fetch. Knows nothing of what they hold."""

from __future__ import annotations

import base64
import binascii
import re
from urllib.parse import unquote_to_bytes

from ..errors import Described, RequestError
from .fetch import Fetcher
from .limits import ImageLimits
from .until import Until

DATA = re.compile(r"data:([^,]{0,256}),", re.IGNORECASE)
"""What stands before the data of a data: URL (RFC 2397): a media type and its parameters, perhaps `;base64`."""
BLANKS = bytes.maketrans(b"", b""), b" \t\r\n"


def of_base64(text: str | bytes, limits: ImageLimits, field: str) -> bytes:
    """Return the bytes that a text of base64 stands for; line ends in it are passed over.

    Raises:
        RequestError: bad_image; it is no base64, or stands for more bytes than `limits` allow.
    """
    try:
        raw = text.encode("ascii") if isinstance(text, str) else text
        raw = raw.translate(*BLANKS)
        if (size := len(raw) // 4 * 3) > limits.most_bytes + 3:
            limit, given = f"must have at most {limits.most_bytes} bytes", Described(f"about {size} bytes")
            raise RequestError(field, limit, given, error_type="bad_image")
        return base64.b64decode(raw + b"=" * (-len(raw) % 4), validate=True)
    except (UnicodeEncodeError, binascii.Error) as exc:
        given = Described(f"{len(text)} characters")
        raise RequestError(field, "must be valid base64", given, error_type="bad_image") from exc


def of_url(url: str, limits: ImageLimits, fetcher: Fetcher, field: str, until: Until) -> bytes:
    """Return the bytes that a URL gives: the data in it, or what is fetched from a host that the operator named.

    Raises:
        RequestError: bad_image_url, for a URL that cannot be read or is not allowed; bad_image, for its data.
        CancelledError, DeadlineError: see Fetcher.fetch.
    """
    if not is_data(url):
        return fetcher.fetch(url, field, until)
    return of_data(url, limits, field)


def is_data(url: str) -> bool:
    """Whether a URL has what it stands for in itself, so that nothing is fetched."""
    return url[:5].lower() == "data:"


def of_data(url: str, limits: ImageLimits, field: str) -> bytes:
    """Return the bytes in a data: URL.

    Raises:
        RequestError: bad_image_url, for a URL that cannot be read; bad_image, for its data.
    """
    found = DATA.match(url)
    if found is None:
        given = Described(f"{len(url)} characters")
        raise RequestError(field, "must be a data: URL with a comma before its data", given, error_type="bad_image_url")
    data = url[found.end() :]
    if found[1].lower().endswith(";base64"):
        return of_base64(unquote_to_bytes(data) if "%" in data else data, limits, field)
    if len(data) > 3 * limits.most_bytes:  # three characters a byte at most
        limit, given = f"must have at most {limits.most_bytes} bytes", Described(f"{len(data)} characters")
        raise RequestError(field, limit, given, error_type="bad_image")
    return unquote_to_bytes(data)
