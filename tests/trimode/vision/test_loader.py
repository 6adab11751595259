"""Pictures of a request, from where they come to what the model reads, on a tower that makes rows of cells' means."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import numpy as np
import pytest
from trimode.api.rows.images import ImageSource
from trimode.engines.base import Floats
from trimode.errors import CancelledError, RequestError
from trimode.vision.encoder import Encoder
from trimode.vision.fetch import Fetcher
from trimode.vision.limits import ImageLimits
from trimode.vision.loader import AT_ONCE, Loader
from trimode.vision.until import Until

from tests.support.pictures import FACTS, noise, saved

DATA = saved(noise(60, 30))
SOURCES = (
    ImageSource("base64", base64.b64encode(DATA).decode(), "image_bytes_input[0]"),
    ImageSource(
        "url", f"data:image/png;base64,{base64.b64encode(saved(noise(28, 28))).decode()}", "image_url_input[0]"
    ),
)


class Means:
    @classmethod
    def open(cls, bundle: Path, *, threads: int, device: int = 0, on_gpu: bool = False) -> Self:
        return cls()

    def encode(self, pictures: Sequence[Floats]) -> list[Floats]:
        return [np.full((one.shape[1] * one.shape[2] // 784, 2), one.mean(), dtype=np.float32) for one in pictures]

    def close(self) -> None:
        """Nothing is held."""


def encoder() -> Encoder:
    return Encoder(Means(), FACTS, "toy", 2**20)


def test_pictures_come_in_order_with_their_cells() -> None:
    made = encoder()
    loader = Loader(made, Fetcher(), ImageLimits())
    found = loader.load(SOURCES, 1400, Until.of())
    assert [one.cells for one in found] == [(3, 2), (1, 1)]
    assert [len(one.encoded.features) for one in found] == [6, 1]
    assert loader.load(SOURCES[:1], 28, Until.of())[0].cells == (1, 1)
    assert (made.encoded, made.found) == (3, 0)
    assert loader.load(SOURCES, 1400, Until.of())[0].encoded.key == found[0].encoded.key
    assert (made.encoded, made.found) == (3, 2)
    assert loader.load((), 1400, Until.of()) == ()


def test_an_error_names_the_picture() -> None:
    loader = Loader.allowing(encoder(), "")
    with pytest.raises(RequestError, match=r"^messages\[1\] must be a PNG"):
        loader.load([SOURCES[0], ImageSource("base64", "AAAA", "messages[1]")], 1400, Until.of())
    with pytest.raises(RequestError, match="--allowed-media-domains"):
        loader.load([ImageSource("url", "http://a.org/b.png", "u")], 1400, Until.of())


def test_hosts_are_checked_before_a_picture_is_read() -> None:
    loader = Loader.allowing(encoder(), "a.org, b.org:81,")
    loader.check([ImageSource("url", "http://a.org/x.png", "u"), ImageSource("base64", "AAAA", "b"), *SOURCES])
    with pytest.raises(RequestError, match=r"^u\[1\] must be a URL of a host"):
        loader.check([ImageSource("base64", "AAAA", "b"), ImageSource("url", "http://b.org/x.png", "u[1]")])


def test_a_cancelled_request_does_not_wait_for_its_turn_to_decode() -> None:
    loader = Loader.allowing(encoder(), "")
    looks = iter((False, False, True))
    with ExitStack() as stack:
        for _ in range(AT_ONCE):
            stack.enter_context(loader.turns)
        with pytest.raises(CancelledError):
            loader.load(SOURCES, 1400, Until.of(cancelled=lambda: next(looks)))
    assert len(loader.load(SOURCES, 1400, Until.of())) == 2
