"""The page behind the guard, over a real socket: files for everybody, cached and packed; the API's keys hold."""

from __future__ import annotations

import asyncio
import gzip
import http.client
from collections.abc import Callable
from contextlib import closing

import pytest
from trimode.server.access.entry import Entry
from trimode.server.access.keys import Access
from trimode.server.access.refusals import HTTP, Refusals
from trimode.server.backend_client import BackendClient
from trimode.server.guard import Guard
from trimode.server.http_front.listener import listen
from trimode.server.launch.options import parser
from trimode.server.models.model_backend import ModelBackend
from trimode.server.models.model_backends import ModelBackends
from trimode.server.playground.files import HEADERS, page_files
from trimode.server.playground.front import PlaygroundFront
from trimode.server.serving import Limits

from tests.server.server import free_ports

Answer = tuple[int, http.client.HTTPMessage, bytes]
Ask = Callable[..., Answer]
FILES = page_files()


class Starting:
    alive = False
    stopping = False


def asked(act: Callable[[Ask], None], entry: Entry | None = None) -> None:
    """Let `act` ask a guard with the page and without a backend."""
    inner, outer = free_ports(2)
    entry = entry or Entry()

    def ask(path: str, method: str = "GET", **headers: str) -> Answer:
        with closing(http.client.HTTPConnection("127.0.0.1", outer, timeout=30)) as connection:
            names = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, headers=names)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()

    async def run() -> None:
        models = ModelBackends(ModelBackend(BackendClient(inner), Starting(), Limits()))
        guard = Guard(models, Limits(), entry)
        guard.add(PlaygroundFront(entry.refusals, Limits().body_bytes))
        async with listen(guard.handle, "127.0.0.1", outer, refusal=guard.refusal):
            await asyncio.to_thread(act, ask)

    asyncio.run(run())


def test_the_page_is_at_its_address_and_its_files_beside_it() -> None:
    def act(ask: Ask) -> None:
        for path, name in (("/playground/", "index.html"), ("/playground/chat.js", "chat.js")):
            status, headers, body = ask(path)
            assert (status, body) == (200, FILES[name].content)
            assert all(headers[key] == value for key, value in HEADERS.items())
        assert ask("/playground/vendor/htm-preact.txt")[0] == 200
        assert ask("/playground/fields.json")[1]["Content-Type"] == "application/json"

    asked(act)


def test_the_address_without_a_slash_leads_there_under_any_prefix() -> None:
    def act(ask: Ask) -> None:
        status, headers, _ = ask("/playground")
        assert (status, headers["Location"]) == (308, "playground/")
        assert ask("/playground?a=%0D%0Ab&c")[1]["Location"] == "playground/?a=%0D%0Ab&c"

    asked(act)


def test_a_file_that_is_still_the_same_is_not_sent_again() -> None:
    def act(ask: Ask) -> None:
        etag = ask("/playground/main.js")[1]["ETag"]
        status, headers, body = ask("/playground/main.js", If_None_Match=f'"other", W/{etag}')
        assert (status, headers["ETag"], body) == (304, etag, b"")
        assert ask("/playground/main.js", If_None_Match='"other"')[0] == 200
        packed = ask("/playground/main.js", If_None_Match=etag, Accept_Encoding="gzip")
        assert packed[0] == 200 and packed[1]["ETag"] != etag
        assert ask("/playground/main.js", If_None_Match=packed[1]["ETag"], Accept_Encoding="gzip")[0] == 304

    asked(act)


@pytest.mark.parametrize(
    ("accepts", "packed"),
    [
        ("gzip, deflate", True),
        ("GZIP", True),
        ("br, X-GZip, GZip;Q=0.5", True),
        ("br;q=1, gzip;q=0.5", True),
        ("*", True),
        ("gzip;q=0", False),
        ("br", False),
        ("", False),
    ],
)
def test_files_are_packed_for_whom_takes_it(accepts: str, packed: bool) -> None:
    def act(ask: Ask) -> None:
        _, headers, body = ask("/playground/style.css", Accept_Encoding=accepts)
        assert (headers["Content-Encoding"] == "gzip") == packed
        assert (gzip.decompress(body) if packed else body) == FILES["style.css"].content

    asked(act)


def test_head_has_the_headers_alone() -> None:
    def act(ask: Ask) -> None:
        status, headers, body = ask("/playground/", "HEAD", Accept_Encoding="identity")
        assert (status, body) == (200, b"")
        assert int(headers["Content-Length"]) == len(FILES["index.html"].content)

    asked(act)


@pytest.mark.parametrize(
    "path", ["/playground/none.js", "/playground/../cli.py", "/playground/%2e%2e/files.py", "/playground//etc/passwd"]
)
def test_what_is_no_file_of_it_is_not_found(path: str) -> None:
    entry = Entry(refusals=Refusals())

    def act(ask: Ask) -> None:
        status, _, body = ask(path)
        assert status == 404 and body.startswith(b'{"error": "not_found: ')

    asked(act, entry)
    assert entry.refusals.counts() == {(HTTP, "not_found"): 1}


def test_other_methods_are_refused_with_those_that_are_not() -> None:
    def act(ask: Ask) -> None:
        status, headers, body = ask("/playground/", "POST")
        assert (status, headers["Allow"]) == (405, "GET, HEAD, OPTIONS") and b"not_allowed: POST" in body
        assert ask("/playground/", "OPTIONS")[0] == 204

    asked(act)


def test_with_keys_the_page_is_everybodys_and_the_api_is_not() -> None:
    def act(ask: Ask) -> None:
        assert ask("/playground/")[0] == ask("/playground/fields.json")[0] == 200
        for path in ("/v2", "/v2/models/nemotron_diffusion/config", "/playgrounds"):
            assert ask(path)[0] == 401

    asked(act, Entry(access=Access(["a-key-of-sixteen-characters"], None)))


def test_the_page_can_be_left_out() -> None:
    assert parser().parse_args([]).playground
    assert not parser().parse_args(["--no-playground"]).playground
