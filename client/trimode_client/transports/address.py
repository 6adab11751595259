"""Address: where a server is and how it is spoken to, read from host:port or a URL.

Opens nothing and asks no name server.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from ..errors import AddressError
from .base import Wire

USUAL_PORTS: dict[Wire, int] = {"grpc": 8001, "http": 8000}
"""Where `trimode-serve` listens unless it is given other ports."""

_SCHEMES: dict[str, tuple[Wire, bool, int]] = {  # protocol, TLS, and the port that the scheme stands for
    "grpc": ("grpc", False, USUAL_PORTS["grpc"]),
    "grpcs": ("grpc", True, 443),
    "http": ("http", False, 80),
    "https": ("http", True, 443),
}


@dataclass(frozen=True)
class Address:
    """One server's address; `secure` says whether it is spoken to over TLS, `path` is put before HTTP's paths."""

    protocol: Wire
    host: str
    port: int
    secure: bool = False
    path: str = ""

    @classmethod
    def parse(cls, url: str, protocol: Wire | None = None, *, tls: bool | None = None) -> Address:
        """Read `url`, whose scheme decides about protocol and TLS where it has one.

        Raises:
            AddressError: it is none, or its scheme contradicts `protocol` or `tls`.
        """
        scheme, separator, rest = url.rpartition("://")
        if separator and scheme.lower() not in _SCHEMES:
            raise AddressError(f"the address must begin with {', '.join(_SCHEMES)} or a host, not with {scheme}://")
        named, secure, port = _SCHEMES[scheme.lower()] if separator else (protocol or "grpc", bool(tls), 0)
        if named not in USUAL_PORTS:
            raise AddressError(f"the protocol must be {' or '.join(USUAL_PORTS)}, got {protocol!r}")
        if protocol not in (None, named):
            raise AddressError(f"{scheme}:// is an address for {named}, but the protocol is {protocol}")
        if tls is not None and bool(tls) != secure:
            raise AddressError(f"{scheme}:// {'means' if secure else 'is without'} TLS, but tls says otherwise")
        host, given, path = _host_port_path(rest)
        if path and named == "grpc":
            raise AddressError(f"an address for gRPC has no path, got {path}")
        return cls(named, host, given or port or USUAL_PORTS[named], secure, path)

    @property
    def host_port(self) -> str:
        """host:port, with brackets around an IPv6 address."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        if self.protocol == "grpc":
            return f"grpcs://{self.host_port}" if self.secure else self.host_port
        return f"http{'s' if self.secure else ''}://{self.host_port}{self.path}"


def _host_port_path(rest: str) -> tuple[str, int | None, str]:
    if rest.count(":") > 1 and "[" not in rest:
        rest = f"[{rest}]"  # an IPv6 address without a port
    try:
        parts = urlsplit(f"//{rest}")
        host, port = parts.hostname, parts.port
    except ValueError as exc:
        raise AddressError(f"the address must be host:port or a URL, got {rest!r}: {exc}") from None
    if "@" in parts.netloc:
        raise AddressError("an address holds no user and password; give api_key or headers")
    if not host or port == 0 or re.search(r"[\s\x00-\x1f\x7f]", rest) or parts.query or parts.fragment:
        raise AddressError(f"the address must be host:port or a URL, got {rest!r}")
    return host, port, parts.path.rstrip("/")
