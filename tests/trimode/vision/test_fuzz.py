"""Random pictures and URLs, `--pictures 10000` for more: each is read or refused in words, and nothing is asked."""

from __future__ import annotations

import random
import socket

import numpy as np
import pytest
from trimode.errors import RequestError
from trimode.vision.addresses import AllowedHosts
from trimode.vision.fetch import Fetcher
from trimode.vision.limits import ImageLimits
from trimode.vision.picture import prepare
from trimode.vision.sources import of_url

from tests.support import picture_fuzz
from tests.support.memory import Growth

LIMITS = ImageLimits(most_pixels=2_000_000)
MOST_GROWTH = 128 * 2**20
"""Bytes by which the process may grow: four times what 2,000 pictures took. One that is decoded although its header
claims 7,000 times 65,536 pixels takes at least 437 MiB."""


@pytest.fixture
def count(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--pictures"))


@pytest.mark.filterwarnings("ignore")  # Pillow warns of much that is broken
def test_every_picture_is_read_or_refused(count: int) -> None:
    dice, found = random.Random(count), {True: 0, False: 0}
    with Growth() as growth:
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
    assert growth.bytes < MOST_GROWTH


def test_the_growth_is_seen_of_what_is_taken_for_a_moment() -> None:
    np.ones(2 * MOST_GROWTH, np.uint8)  # is gone at once, and would hide what comes after it
    with Growth() as growth:
        taken = np.ones(MOST_GROWTH, np.uint8)
        del taken
    assert growth.bytes >= 0.9 * MOST_GROWTH


def test_no_url_is_connected_to_that_is_not_allowed(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three hosts that the operator named, all lead to this machine."""
    looked_up = set()

    def resolve(host: str, port: int, **options: object) -> list[tuple[object, ...]]:
        looked_up.add(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port))]

    def connect(address: object, timeout: object) -> None:
        raise AssertionError(f"connected to {address}")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(socket, "create_connection", connect)
    dice, read = random.Random(count), 0
    fetcher = Fetcher(AllowedHosts.of(["a.org", "localhost", "127.0.0.1"]))
    for _ in range(count):
        try:
            of_url(picture_fuzz.url(dice), LIMITS, fetcher, "image_url_input")
            read += 1
        except RequestError as error:
            assert error.error_type in ("bad_image", "bad_image_url")
    assert read and looked_up == {"a.org", "localhost", "127.0.0.1"}
