"""PageFile: a file of the page as it is sent, with the headers that keep it up to date and hold browsers to it.

Knows nothing of requests.
"""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path

STATIC = Path(__file__).parent / "static"
CONTENT_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
"""By the end of a file's name; no other file is sent."""
POLICY = "; ".join(
    (
        "default-src 'none'",
        *(f"{kind}-src 'self'" for kind in ("script", "style", "connect")),
        "img-src 'self' data:",
        *(f"{kind} 'none'" for kind in ("base-uri", "form-action", "frame-ancestors")),
        "require-trusted-types-for 'script'",
    )
)
"""What the page may do: run and show its own files, and ask its own server. No file of it has code or style inline.
Pictures may stand in an address: those that a person adds are drawn so."""
HEADERS = {
    "Cache-Control": "no-cache",  # a browser keeps a file, and asks each time whether it is still the same
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept-Encoding",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True)
class PageFile:
    """A file.

    Attributes:
        content: its bytes.
        packed: the same, compressed by gzip.
        content_type: its header of this name. digest: of its content.
    """

    content: bytes
    packed: bytes
    content_type: str
    digest: str

    @classmethod
    def of(cls, content: bytes, ending: str) -> PageFile:
        """Make one of its content; `ending` is one of CONTENT_TYPES."""
        digest = hashlib.sha256(content).hexdigest()[:20]
        return cls(content, gzip.compress(content, mtime=0), CONTENT_TYPES[ending], digest)

    def etag(self, *, packed: bool) -> str:
        """Return the strong entity tag of its bytes as they are sent; packed bytes have their own (RFC 9110, 8.8.3)."""
        return f'"{self.digest}{"-gzip" if packed else ""}"'

    def headers(self, *, packed: bool) -> dict[str, str]:
        """Return the headers of an answer that holds it."""
        encoding = {"Content-Encoding": "gzip"} if packed else {}
        return {**HEADERS, "Content-Type": self.content_type, "ETag": self.etag(packed=packed), **encoding}


def page_files(folder: Path = STATIC) -> dict[str, PageFile]:
    """Return the files of a folder by their path in it; those with an ending that is not sent are left out."""
    found = (path for path in sorted(folder.rglob("*")) if path.suffix in CONTENT_TYPES)
    return {path.relative_to(folder).as_posix(): PageFile.of(path.read_bytes(), path.suffix) for path in found}
