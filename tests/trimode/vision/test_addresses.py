"""Which hosts and addresses may be asked."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from trimode.errors import ConfigError, RequestError
from trimode.vision.addresses import AllowedHosts, is_public, target_of


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"])
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        *(
            "127.0.0.1",
            "127.9.9.9",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
        ),
        *("224.0.0.1", "255.255.255.255", "240.0.0.1", "192.0.2.1", "198.18.0.1"),
        *("::1", "::", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1", "fec0::1", "2001:db8::1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::"),
        *("2001:0:4136:e378:8000:63bf:3fff:fdd2", "64:ff9b:1::1"),  # Teredo to 192.0.2.45; a local NAT64
    ],
)
def test_all_others_are_not(address: str) -> None:
    assert not is_public(ip_address(address))


def test_a_url_leads_to_a_host_a_port_and_a_path() -> None:
    target = target_of("https://Images.Example.org./a/b.png?x=1#part", "image")
    assert (target.scheme, target.host, target.port, target.path) == (
        "https",
        "images.example.org",
        443,
        "/a/b.png?x=1",
    )
    assert target.authority == "images.example.org"
    assert target_of("http://[::1]:8080", "image").authority == "[::1]:8080"
    assert target_of("http://a.org:81?q", "image").path == "/?q"


@pytest.mark.parametrize(
    "url",
    [
        *("", "a.png", "/etc/passwd", "file:///etc/passwd", "ftp://a.org/x", "gopher://a.org/", "http://", "http:///x"),
        *(
            "http://user@a.org/",
            "http://a.org:pw@b.org/",
            "http://a.org\\@b.org/",
            "http://a.org/ x",
            "http://a.org/\n",
        ),
        *("http://a.org/\r\nHost: b.org", "http://a..org/", "http://.org/", "http://a_b!.org/", "http://a.org:0/"),
        *("http://a.org:65536/", "http://a.org:x/", "http://[::1/", "http://[zz]/", "http://bücher.de/", "HTTP//a.org"),
        "http://a.org/" + "x" * 9000,
    ],
)
def test_what_can_be_read_in_two_ways_is_no_url(url: str) -> None:
    with pytest.raises(RequestError) as caught:
        target_of(url, "image")
    assert caught.value.error_type == "bad_image_url"


def test_a_host_is_allowed_by_its_whole_name_at_its_schemes_port() -> None:
    hosts = AllowedHosts.of("a.org,B.org:8080, c.org. ,")
    allowed = ["http://a.org/x", "https://A.ORG", "http://b.org:8080/", "http://c.org", "https://a.org.:443/"]
    refused = ["http://a.org:8080/", "http://b.org/", "http://x.a.org/", "http://a.org.evil.org/", "http://aa.org/"]
    assert all(hosts.allows(target_of(url, "image")) for url in allowed)
    assert not any(hosts.allows(target_of(url, "image")) for url in refused)
    assert not AllowedHosts().allows(target_of("http://a.org", "image"))


@pytest.mark.parametrize("name", ["*", "*.a.org", "b.org,*", "http://a.org", "a.org/x", "u@a.org", "a.org:x", "a b"])
def test_an_entry_that_is_no_host_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="must hold hosts"):
        AllowedHosts.of(name)
