"""Who called: the address that stands for a caller, which may be one that a trusted proxy names.

Both faces of the server decide it here. Knows addresses; nothing of HTTP or gRPC.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from ..errors import ServeError

FORWARDED_FOR = "x-forwarded-for"
"""The HTTP header and gRPC metadata key in which proxies name whom they forward for, the nearest caller last."""

SITE_BITS = 64
"""Of an IPv6 address, those that one site has in common: whoever has a site has all of its addresses."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class Callers:
    """Tells callers apart; `trusted` are the networks of proxies whose word counts."""

    trusted: tuple[Network, ...] = ()

    @classmethod
    def behind(cls, text: str) -> Callers:
        """Read `--trusted-proxies`: addresses or networks in CIDR notation, separated by commas.

        Raises:
            ServeError: an entry is neither.
        """
        networks = []
        for entry in filter(None, (part.strip() for part in text.split(","))):
            try:
                networks.append(ipaddress.ip_network(entry))
            except ValueError as exc:
                raise ServeError(f"--trusted-proxies: {entry} is not an address or a network: {exc}") from exc
        return cls(tuple(networks))

    def of(self, peer: str, forwarded: Sequence[str] = ()) -> str:
        """Return the caller's address as text.

        A caller can write anything into the header; what a trusted proxy appended is true. So it is read from its end,
        as long as the one that wrote an entry is trusted.

        Args:
            peer: the other end of the connection; what is no address, such as a socket's path, is returned as it is.
            forwarded: the values of FORWARDED_FOR in the order in which they came.
        """
        found = address_in(peer)
        if found is None:
            return peer
        for entry in reversed([part for value in forwarded for part in value.split(",")]):
            if not self._trusts(found) or (before := address_in(entry)) is None:
                break
            found = before
        return str(found)

    def _trusts(self, address: Address) -> bool:
        return any(address in network for network in self.trusted)


EVERY_PEER = Callers()
"""Trusts no proxy: the other end of a connection is the caller."""


@lru_cache(maxsize=1024)
def address_in(text: str) -> Address | None:
    """Return the address in `text`, which may have a port; None if there is none.

    An IPv4 address that is written as an IPv6 one (RFC 4291, 2.5.5.2) is the IPv4 address.
    """
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        return address.ipv4_mapped or address
    return address


def neighbours(peer: object) -> str:
    """Return what stands for all connections of one caller: its IPv4 address, or the site of its IPv6 address.

    Args:
        peer: the other end as sockets name it; "" stands for all that have no address.
    """
    address = address_in(str(peer[0])) if isinstance(peer, tuple) and peer else None
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((int(address), SITE_BITS), strict=False))
    return "" if address is None else str(address)
