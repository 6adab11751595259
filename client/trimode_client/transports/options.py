"""Options: the keywords of both clients. Settings: those of one client, with defaults and the environment filled in.

Connection is the part of them that a transport needs.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypedDict

from trimode.api.tensors import MODEL_NAME

from ..errors import InvalidRequestError
from .address import USUAL_PORTS, Address
from .base import Wire
from .time_limits import ANSWER_SECONDS, INACTIVITY_SECONDS
from .tls import Tls

RETRIES = 2  # after the first try; a server that is full, or is replacing its engine, mostly answers the second

_HEADER_NAME = re.compile(r"[0-9A-Za-z_.-]+")  # what both HTTP and gRPC take
_HEADER_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?|")


class Options(TypedDict, total=False):
    """The keywords of Client and AsyncClient."""

    timeout: float | None
    """Seconds that a whole answer may take, repetitions included; None for no limit. The server stops then, too.
    Default: 300.
    """

    inactivity: float | None
    """Seconds between two responses of a stream, None for no limit. Not for a single answer. Default: 60."""

    retries: int
    """How often a request that failed is sent again, if that may help and no part of its answer came. Default: 2."""

    headers: Mapping[str, str] | None
    """Sent with each request: headers of HTTP, metadata of gRPC. Default: none."""

    api_key: str | None
    """Sent as `Authorization: Bearer …`. Default: $TRIMODE_API_KEY, else none."""

    tls: Tls | bool | None
    """Certificates, or True for the public authorities. Default: as the address says, https:// or grpcs://."""

    model: str
    """The model's name on the server. Default: nemotron_diffusion."""


@dataclass(frozen=True)
class Connection:
    """How to reach a server. The headers may hold secrets, so that they are not shown."""

    address: Address
    model: str = MODEL_NAME
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    tls: Tls = field(default_factory=Tls)


@dataclass(frozen=True)
class Settings:
    """The options of one client, each with its default; see Options."""

    timeout: float | None = ANSWER_SECONDS
    inactivity: float | None = INACTIVITY_SECONDS
    retries: int = RETRIES
    headers: Mapping[str, str] | None = field(default=None, repr=False)
    api_key: str | None = field(default=None, repr=False)
    tls: Tls | bool | None = None
    model: str = MODEL_NAME

    def __post_init__(self) -> None:
        if self.retries < 0:
            raise InvalidRequestError("invalid_value", f"retries must be at least 0, got {self.retries}")

    def connection(self, url: str | None, protocol: Wire | None) -> Connection:
        """Return how to reach the server at `url`, else $TRIMODE_URL, else the usual port of this machine.

        Raises:
            AddressError: the address is none, or contradicts `protocol` or `tls`.
            InvalidRequestError: a header cannot be sent.
        """
        url = url or os.environ.get("TRIMODE_URL") or f"localhost:{USUAL_PORTS.get(protocol or 'grpc', '')}"
        secure = None if self.tls is None else self.tls is not False
        address = Address.parse(url, protocol, tls=secure)
        tls = self.tls if isinstance(self.tls, Tls) else Tls()
        return Connection(address, self.model, self._all_headers(), tls)

    def _all_headers(self) -> dict[str, str]:
        headers = {name.lower(): value for name, value in (self.headers or {}).items()}
        key = os.environ.get("TRIMODE_API_KEY") if self.api_key is None else self.api_key
        if key and "authorization" not in headers:
            headers["authorization"] = f"Bearer {key}"
        elif self.api_key:
            raise InvalidRequestError("given_twice", "give api_key or the header authorization, not both")
        for name, value in headers.items():
            if not _HEADER_NAME.fullmatch(name) or name.endswith("-bin") or name.startswith("grpc-"):
                raise InvalidRequestError("invalid_value", f"headers must have plain names, got {name!r}")
            if not _HEADER_VALUE.fullmatch(value):  # the value may be a secret
                raise InvalidRequestError("invalid_value", f"the header {name} must be printable ASCII")
        return headers
