"""Fetcher: pictures by http and https, from hosts that the operator named, with limits on size, time and redirects."""

from __future__ import annotations

import http.client
from dataclasses import dataclass, field
from urllib.parse import urljoin

from ..errors import DeadlineError, Described, RequestError
from .addresses import AllowedHosts, Target, is_public, target_of
from .connection import Allowed, NotAllowedError, answer_of
from .until import Until

MOST_REDIRECTS = 3
REDIRECTS = (301, 302, 303, 307, 308)
PIECE = 64 * 1024
"""Bytes that are read at once."""


@dataclass(frozen=True)
class Fetcher:
    """Fetches pictures.

    Attributes:
        hosts: those that may be asked; none by default, and then nothing leaves the machine.
        most_bytes: of a picture.
        allowed: which addresses may be connected to. Tests allow loopback; a server has no setting for it.
    """

    hosts: AllowedHosts = field(default_factory=AllowedHosts)
    most_bytes: int = 20 * 2**20
    allowed: Allowed = is_public

    def check(self, url: str, name: str) -> Target:
        """Return where a URL leads, without connecting.

        Args:
            url: http or https.
            name: the field that it came in, for errors.

        Raises:
            RequestError: bad_image_url; it is no URL, or the operator did not name its host.
        """
        target = target_of(url, name)
        if not self.hosts.allows(target):
            limit = "must be a URL of a host that the server's --allowed-media-domains names"
            raise RequestError(name, limit, target.authority, error_type="bad_image_url")
        return target

    def fetch(self, url: str, name: str, until: Until) -> bytes:
        """Return what a URL gives.

        Args:
            url: http or https.
            name: the field that it came in, for errors.
            until: how long it may take, redirects included.

        Raises:
            RequestError: bad_image_url; see `check`, or it leads to an address that is not public, or to too many
                others, or does not give a file of at most `most_bytes` in the time of pictures.
            CancelledError, DeadlineError: nobody waits any more, or the request's own time is over.
        """
        target = self.check(url, name)
        for _ in range(MOST_REDIRECTS + 1):
            try:
                with answer_of(target, self.allowed, until) as answer:
                    if answer.status not in REDIRECTS:
                        return self._body(answer, target, name)
                    location = answer.getheader("Location")
            except NotAllowedError as exc:
                limit = "must lead to public addresses alone"
                raise RequestError(name, limit, target.authority, error_type="bad_image_url") from exc
            except (OSError, http.client.HTTPException, DeadlineError) as exc:
                if until.of_request and isinstance(exc, DeadlineError):
                    raise
                given = Described(f"{target.authority}: {_reason(exc)}")
                raise RequestError(name, f"must be fetched {until.limit}", given, error_type="bad_image_url") from exc
            url, target = self._next(url, target, location, name)
        limit = f"must lead to a picture by at most {MOST_REDIRECTS} redirects"
        raise RequestError(name, limit, Described("more of them"), error_type="bad_image_url")

    def _next(self, url: str, before: Target, location: str | None, name: str) -> tuple[str, Target]:
        """Return where a redirect leads.

        Raises:
            RequestError: nowhere, from https to http, or where `check` refuses to ask.
        """
        try:
            found = urljoin(url, location or "")
        except ValueError as exc:
            raise RequestError(name, "must not redirect to what is no URL", url, error_type="bad_image_url") from exc
        if not location:
            raise RequestError(name, "must not redirect to nowhere", url, error_type="bad_image_url")
        target = self.check(found, name)
        if before.scheme == "https" and target.scheme != "https":
            raise RequestError(name, "must not redirect from https to http", url, error_type="bad_image_url")
        return found, target

    def _body(self, answer: http.client.HTTPResponse, target: Target, name: str) -> bytes:
        if answer.status != 200:
            given = Described(f"{target.authority}: status {answer.status}")
            raise RequestError(name, "must give a picture, with status 200", given, error_type="bad_image_url")
        if answer.length is not None and answer.length > self.most_bytes:
            raise self._too_large(name, f"{answer.length} bytes")
        found = bytearray()
        while piece := answer.read(PIECE):
            found += piece
            if len(found) > self.most_bytes:
                raise self._too_large(name, f"more than {self.most_bytes} bytes")
        if answer.length:  # a body that ends early is no error to read() with a size
            raise http.client.IncompleteRead(b"", answer.length)
        return bytes(found)

    def _too_large(self, name: str, given: str) -> RequestError:
        limit = f"must give at most {self.most_bytes} bytes"
        return RequestError(name, limit, Described(given), error_type="bad_image_url")


def _reason(exc: Exception) -> str:
    """Return why a fetch failed, in words that hold no address and no path."""
    if isinstance(exc, TimeoutError | DeadlineError):
        return "it took too long"
    return "it could not be reached" if isinstance(exc, OSError) else "it did not answer as HTTP does"
