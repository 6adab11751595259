"""The files of the page: what is sent, with which headers, and how large the page is."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

from trimode.server.playground.fields import fields_json
from trimode.server.playground.files import CONTENT_TYPES, HEADERS, STATIC, PageFile, page_files

FILES = page_files()
FIRST_LOAD_BYTES = (
    58 * 1024
)  # packed; 4 KB of it are for pictures, 2 KB for several models. 100 KB is the most that a page may ever have
LINKS = re.compile(r"""(?:src|href|from|import)\s*(?:=|\()?\s*["']([^"'#]+)["']""")


def test_the_page_and_everything_that_it_names_is_there() -> None:
    for name, page in FILES.items():
        if name.endswith((".html", ".js")) and not name.startswith("vendor/"):
            for link in LINKS.findall(page.content.decode()):
                found = Path(name).parent / link
                assert found.as_posix() in FILES, f"{name} names {link}"


def test_every_address_is_relative_and_none_is_foreign() -> None:
    for name, page in FILES.items():
        if not name.startswith("vendor/"):
            found = re.findall(r"""["'`(](/[a-z][^"'`)]*|https?://[^"'`)]*)""", page.content.decode())
            assert [link for link in found if link != "http://www.w3.org/2000/svg"] == [], name


def test_the_first_load_is_small() -> None:
    sent = [page for name, page in FILES.items() if not name.endswith(".txt")]
    assert sum(len(page.packed) for page in sent) + len(gzip.compress(fields_json(2**20))) < FIRST_LOAD_BYTES


def test_the_licences_of_what_is_vendored_are_sent_beside_it() -> None:
    text = FILES["vendor/htm-preact.txt"].content.decode()
    assert "Apache License" in text and "The MIT License" in text and "Jason Miller" in text
    assert set(path.name for path in (STATIC / "vendor").iterdir()) == {"htm-preact.js", "htm-preact.txt"}


def test_nothing_else_lies_in_the_folder() -> None:
    assert {path.suffix for path in STATIC.rglob("*") if path.is_file()} <= set(CONTENT_TYPES)


def test_a_file_has_the_headers_that_hold_browsers_to_it() -> None:
    page = PageFile.of(b"let a;", ".js")
    headers = page.headers(packed=False)
    assert headers.items() >= HEADERS.items()
    assert headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert "Content-Encoding" not in headers
    assert page.headers(packed=True)["Content-Encoding"] == "gzip"
    assert gzip.decompress(page.packed) == page.content
    policy = dict(part.split(" ", 1) for part in HEADERS["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    assert [name for name, value in policy.items() if "data:" in value] == ["img-src"]
    assert "unsafe" not in HEADERS["Content-Security-Policy"] and "*" not in HEADERS["Content-Security-Policy"]


def test_an_etag_is_of_the_content() -> None:
    one, same, other = (PageFile.of(content, ".css").etag(packed=False) for content in (b"a", b"a", b"b"))
    assert one == same != other


def test_packed_bytes_have_an_etag_of_their_own() -> None:
    page = PageFile.of(b"a", ".css")
    plain, packed = (page.headers(packed=packed)["ETag"] for packed in (False, True))
    assert plain != packed and all(etag[0] == etag[-1] == '"' for etag in (plain, packed))
