"""Who counts as the caller: the peer, or whom a trusted proxy names."""

from __future__ import annotations

import pytest
from trimode.errors import ServeError
from trimode.server.caller import EVERY_PEER, Callers, address_in, neighbours

PROXIES = Callers.behind("10.0.0.0/8, 192.0.2.7,2001:db8::/32")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("10.0.0.7", "10.0.0.7"),
        (" 10.0.0.7:51234 ", "10.0.0.7"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ('"[2001:db8::1]"', "2001:db8::1"),
        ("::ffff:10.0.0.7", "10.0.0.7"),
        ("[::ffff:a00:7]:1", "10.0.0.7"),
        ("unknown", None),
        ("", None),
        ("10.0.0.7, 10.0.0.8", None),
    ],
)
def test_an_address_in_a_text(text: str, address: str | None) -> None:
    found = address_in(text)
    assert (None if found is None else str(found)) == address


@pytest.mark.parametrize(
    ("callers", "peer", "forwarded", "caller"),
    [
        (EVERY_PEER, "10.0.0.7", ["198.51.100.1"], "10.0.0.7"),
        (EVERY_PEER, "::ffff:10.0.0.7", [], "10.0.0.7"),
        (EVERY_PEER, "unix:", [], "unix:"),
        (PROXIES, "10.0.0.7", [], "10.0.0.7"),
        (PROXIES, "10.0.0.7", ["198.51.100.1"], "198.51.100.1"),
        (PROXIES, "::ffff:10.0.0.7", ["::ffff:198.51.100.1"], "198.51.100.1"),
        (PROXIES, "198.51.100.9", ["198.51.100.1"], "198.51.100.9"),
        (PROXIES, "2001:db8::9", ["198.51.100.1, 192.0.2.7"], "198.51.100.1"),
        (PROXIES, "10.0.0.7", ["203.0.113.5, 198.51.100.1"], "198.51.100.1"),
        (PROXIES, "10.0.0.7", ["203.0.113.5", "198.51.100.1", "192.0.2.7"], "198.51.100.1"),
        (PROXIES, "10.0.0.7", ["10.0.0.9"], "10.0.0.9"),
        (PROXIES, "10.0.0.7", ["198.51.100.1, unknown"], "10.0.0.7"),
        (PROXIES, "10.0.0.7", [""], "10.0.0.7"),
        (PROXIES, "unix:", ["198.51.100.1"], "unix:"),
    ],
    ids=[
        *("untrusted", "mapped", "socket", "no header", "header", "mapped both", "not a proxy", "two proxies"),
        *("forged in front", "several headers", "proxies alone", "unknown", "empty", "socket with a header"),
    ],
)
def test_the_caller(callers: Callers, peer: str, forwarded: list[str], caller: str) -> None:
    assert callers.of(peer, forwarded) == caller


def test_nothing_trusts_nobody() -> None:
    assert Callers.behind("") == Callers.behind(" , ") == EVERY_PEER


@pytest.mark.parametrize("text", ["proxy.example", "10.0.0.1/8", "10.0.0.0/33"])
def test_what_is_no_network_is_refused_by_name(text: str) -> None:
    with pytest.raises(ServeError, match=f"trusted-proxies: {text} is not an address or a network"):
        Callers.behind(f"127.0.0.1,{text}")


@pytest.mark.parametrize(
    ("peer", "whose"),
    [
        (("10.0.0.7", 51234), "10.0.0.7"),
        (("::ffff:10.0.0.7", 51234, 0, 0), "10.0.0.7"),
        (("2001:db8:1:2:3:4:5:6", 51234, 0, 0), "2001:db8:1:2::/64"),
        (("2001:db8:1:2:ffff::", 51234, 0, 0), "2001:db8:1:2::/64"),
        (("fe80::1%lo", 51234, 0, 1), "fe80::/64"),
        ("", ""),
        (None, ""),
    ],
)
def test_connections_count_for_an_address_or_a_site(peer: object, whose: str) -> None:
    assert neighbours(peer) == whose
