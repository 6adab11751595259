"""Random pictures and URLs, `--pictures 10000` for more: each is read or refused in words, and nothing is asked."""

from __future__ import annotations

import random
import resource
import socket

import numpy as np
import pytest
from trimode.errors import RequestError
from trimode.vision.addresses import AllowedHosts
from trimode.vision.fetch import Fetcher
from trimode.vision.limits import ImageLimits
from trimode.vision.picture import prepare
from trimode.vision.sources import of_url
from trimode.vision.until import Until

from tests.support import picture_fuzz

LIMITS = ImageLimits(most_pixels=2_000_000)
MOST_GROWTH = 512 * 2**10
"""KiB by which the process may grow: a picture of the most pixels takes some 20 MiB."""


@pytest.fixture
def count(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--pictures"))


@pytest.mark.filterwarnings("ignore")  # Pillow warns of much that is broken
def test_every_picture_is_read_or_refused(count: int) -> None:
    dice, found = random.Random(count), {True: 0, False: 0}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(count):
        data = picture_fuzz.picture(dice)
        try:
            picture = prepare(data, dice.choice((28, 112, 560)), limits=LIMITS)
        except RequestError as error:
            assert error.error_type == "bad_image"
            found[False] += 1
            continue
        assert picture.pixels.shape == (3, 28 * picture.cells[1], 28 * picture.cells[0])
        assert np.isfinite(picture.pixels).all()
        found[True] += 1
    assert found[True] and found[False]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_GROWTH


def test_no_url_is_connected_to_that_is_not_allowed(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three hosts that the operator named, all lead to this machine."""
    looked_up = set()

    def resolve(host: str, port: int, **options: object) -> list[tuple[object, ...]]:
        looked_up.add(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port))]

    def connect(line: socket.socket, address: object) -> int:
        raise AssertionError(f"connected to {address}")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(socket.socket, "connect_ex", connect)
    monkeypatch.setattr(socket.socket, "connect", connect)
    dice, read = random.Random(count), 0
    fetcher = Fetcher(AllowedHosts.of("a.org,localhost,127.0.0.1"))
    for _ in range(count):
        try:
            of_url(picture_fuzz.url(dice), LIMITS, fetcher, "image_url_input", Until.of())
            read += 1
        except RequestError as error:
            assert error.error_type in ("bad_image", "bad_image_url")
    assert read and looked_up == {"a.org", "localhost", "127.0.0.1"}
