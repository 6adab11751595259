"""What a body holds in the encoding that its headers announce, and what is refused."""

from __future__ import annotations

import gzip
import zlib

import pytest
from trimode.errors import Refusal
from trimode.server.http_front.bodies import Bodies
from trimode.server.http_front.body import WINDOW, decoded
from trimode.server.serving import Limits

from tests.trimode.server.http_front.scene import Scene, play, post

TEXT = b'{"input_ids": [5]}'
ENCODED = {"gzip": gzip.compress(TEXT), "x-gzip": gzip.compress(TEXT), "deflate": zlib.compress(TEXT)}


@pytest.mark.parametrize("coding", WINDOW)
def test_a_body_is_decoded(coding: str) -> None:
    assert decoded(ENCODED[coding], coding, len(TEXT)) == TEXT


@pytest.mark.parametrize("coding", WINDOW)
@pytest.mark.parametrize(
    "harm",
    [lambda body: TEXT, lambda body: b"", lambda body: body[:-2], lambda body: body + b"x", lambda body: body + body],
    ids=["plain", "empty", "cut", "more", "twice"],
)
def test_what_is_not_in_its_coding_is_refused(coding: str, harm: object) -> None:
    assert callable(harm)
    with pytest.raises(Refusal, match="the body ") as refused:
        decoded(harm(ENCODED[coding]), coding, 1000)
    assert refused.value.error_type == "bad_json"


@pytest.mark.parametrize("coding", WINDOW)
def test_a_bomb_is_too_large(coding: str) -> None:
    bomb = gzip.compress(bytes(2**24)) if "gzip" in coding else zlib.compress(bytes(2**24))
    with pytest.raises(Refusal, match="at most 1000 bytes, got more once it was decoded") as refused:
        decoded(bomb, coding, 1000)
    assert refused.value.error_type == "too_large"


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_body_counts_with_what_it_holds_once_it_is_decoded(coding: str) -> None:
    async def act(scene: Scene) -> None:
        header = b"Content-Encoding: " + coding.encode()
        assert (await scene.ask(post(ENCODED[coding], header)))[0] == 200
        full, large = Limits(1000, bodies=Bodies(1000)), zlib.compress(bytes(990)) if coding == "deflate" else b""
        scene.limits = full
        status, answer = await scene.ask(post(large or gzip.compress(bytes(990)), header))
        assert (status, answer["error"].partition(":")[0]) == (503, "overloaded")
        assert full.bodies._total == 0

    play(act)
