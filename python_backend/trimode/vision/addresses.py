"""Which hosts and addresses pictures may be fetched from: those that the operator named, where they are public.

Knows names and numbers; nothing is connected to here.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from ..errors import ConfigError, Described, RequestError

PORTS = {"http": 80, "https": 443}
"""The schemes that are fetched, and the port of each."""
MOST_URL_CHARACTERS = 8192
NAME = re.compile(r"(?=.{1,253}\Z)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?\.)*[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?")
"""A host's name or IPv4 address, in small letters; names in other scripts are given in their ASCII form, xn--…"""
NAT64 = ipaddress.ip_network("64:ff9b::/96")
"""IPv6 addresses that end with the IPv4 address which a gateway connects to (RFC 6052)."""
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True)
class Target:
    """Where one request of a fetch goes. `path` has the query, as it is sent."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """Host and port as the Host header has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"


@dataclass(frozen=True)
class AllowedHosts:
    """The hosts that the operator named: (name, port), the port None for the schemes' own."""

    entries: frozenset[tuple[str, int | None]] = frozenset()

    @classmethod
    def of(cls, names: str) -> AllowedHosts:
        """Read entries, separated by commas, each a host or host:port; an IPv6 address stands in brackets.

        Raises:
            ConfigError: one is not of that form. No entry stands for several hosts.
        """
        return cls(frozenset(_entry(name) for name in names.split(",") if name.strip()))

    def allows(self, target: Target) -> bool:
        """Whether a request may go there, as far as its name says."""
        own = target.port == PORTS[target.scheme]
        return (target.host, target.port) in self.entries or (own and (target.host, None) in self.entries)


def target_of(url: str, field: str) -> Target:
    """Return where a URL leads.

    Raises:
        RequestError: bad_image_url; it is not http or https, names a user, has characters that URLs do not have, or its
            host or port cannot be read in one way alone.
    """
    if len(url) > MOST_URL_CHARACTERS:
        limit, given = f"must be a URL of at most {MOST_URL_CHARACTERS} characters", Described(f"{len(url)} characters")
        raise RequestError(field, limit, given, error_type="bad_image_url")
    try:
        parts = urlsplit(url)
        if parts.scheme not in PORTS:
            raise _bad(field, "must be a URL that begins with http://, https:// or data:", url)
        host, port = _host(parts), parts.port
    except ValueError as exc:
        raise _bad(field, "must be a URL with a host", url) from exc
    if not re.fullmatch(r"[!-\[\]-~]+", url):  # no blanks, no backslash, ASCII alone
        raise _bad(field, "must be a URL of ASCII characters without blanks and backslashes", url)
    if "@" in parts.netloc:
        raise _bad(field, "must be a URL without a user and a password", Described("one with them"))
    path = parts.path or "/"
    own = PORTS[parts.scheme] if port is None else port
    if not 1 <= own <= 65535:
        raise _bad(field, "must be a URL with a port of 1 to 65535", url)
    return Target(parts.scheme, host, own, f"{path}?{parts.query}" if parts.query else path)


def is_public(address: Address) -> bool:
    """Whether an address is one of the public internet: not private, loopback, link-local, multicast or reserved.

    An IPv6 address that stands for an IPv4 address is public if that one is.
    """
    if isinstance(address, ipaddress.IPv6Address):
        if address in NAT64:
            return is_public(ipaddress.IPv4Address(address.packed[-4:]))
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if inner is not None:
            return is_public(inner)
        if address.is_site_local:
            return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def _host(parts: SplitResult) -> str:
    host = (parts.hostname or "").rstrip(".") if not (parts.hostname or "").endswith("..") else ""
    if ":" in host:
        return str(ipaddress.IPv6Address(host))
    if not NAME.fullmatch(host):
        raise ValueError("no host")
    return host


def _entry(text: str) -> tuple[str, int | None]:
    problem = ConfigError(f"allowed_media_domains must hold hosts, each NAME or NAME:PORT, got {text!r}")
    try:
        parts = urlsplit(f"//{text.strip()}")
        entry = _host(parts), parts.port
    except ValueError as exc:
        raise problem from exc
    if parts.path or parts.query or parts.fragment or "@" in parts.netloc:
        raise problem
    return entry


def _bad(field: str, limit: str, given: object) -> RequestError:
    return RequestError(field, limit, given, error_type="bad_image_url")
