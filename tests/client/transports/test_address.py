"""Addresses as people write them, and what each stands for."""

from __future__ import annotations

import re
from typing import Any

import pytest
from trimode_client import AddressError, UnavailableError
from trimode_client.transports.address import Address


@pytest.mark.parametrize(
    ("url", "protocol", "tls", "meant", "shown"),
    [
        ("host:9", None, None, Address("grpc", "host", 9), "host:9"),
        ("host", None, None, Address("grpc", "host", 8001), "host:8001"),
        ("host", "http", None, Address("http", "host", 8000), "http://host:8000"),
        ("host:9", "http", True, Address("http", "host", 9, True), "https://host:9"),
        ("host:9", None, True, Address("grpc", "host", 9, True), "grpcs://host:9"),
        ("grpc://host", None, None, Address("grpc", "host", 8001), "host:8001"),
        ("grpcs://host", None, None, Address("grpc", "host", 443, True), "grpcs://host:443"),
        ("http://host/", None, None, Address("http", "host", 80), "http://host:80"),
        ("HTTPS://Host/a/b/", None, None, Address("http", "host", 443, True, "/a/b"), "https://host:443/a/b"),
        ("https://host", "http", True, Address("http", "host", 443, True), "https://host:443"),
        ("http://host:9", "http", False, Address("http", "host", 9), "http://host:9"),
        ("[::1]:9", None, None, Address("grpc", "::1", 9), "[::1]:9"),
        ("::1", "http", None, Address("http", "::1", 8000), "http://[::1]:8000"),
    ],
)
def test_what_an_address_means(url: str, protocol: Any, tls: bool | None, meant: Address, shown: str) -> None:
    address = Address.parse(url, protocol, tls=tls)
    assert (address, str(address)) == (meant, shown)


@pytest.mark.parametrize(
    ("url", "protocol", "tls", "because"),
    [
        ("ftp://host", None, None, "must begin with grpc, grpcs, http, https or a host, not with ftp://"),
        ("host:x", None, None, "must be host:port or a URL, got 'host:x': Port could not be cast"),
        ("host:99999", None, None, "Port out of range"),
        ("http://", None, None, "must be host:port or a URL, got ''"),
        (":8001", None, None, "must be host:port or a URL"),
        ("a host", None, None, "must be host:port or a URL"),
        ("host/a?b", "http", None, "must be host:port or a URL"),
        ("host/a", "grpc", None, "an address for gRPC has no path, got /a"),
        ("http://host", "grpc", None, "http:// is an address for http, but the protocol is grpc"),
        ("https://host", None, False, "https:// means TLS, but tls says otherwise"),
        ("grpc://host", None, True, "grpc:// is without TLS, but tls says otherwise"),
        ("host", "ftp", None, "the protocol must be grpc or http, got 'ftp'"),
    ],
)
def test_what_is_no_address(url: str, protocol: Any, tls: bool | None, because: str) -> None:
    with pytest.raises(AddressError, match=re.escape(because)) as caught:
        Address.parse(url, protocol, tls=tls)
    assert isinstance(caught.value, UnavailableError)
    assert not caught.value.retryable


def test_a_password_in_an_address_is_refused_and_not_shown() -> None:
    with pytest.raises(AddressError, match="no user and password") as caught:
        Address.parse("http://me:secret@host")
    assert "secret" not in str(caught.value)
