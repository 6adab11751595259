"""The encoder: each picture goes through the tower once, as long as what came of it fits."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import numpy as np
import pytest
from trimode.bundle.manifest import Manifest
from trimode.bundle.vision_facts import VisionFacts
from trimode.config import ServerConfig
from trimode.engines.base import Floats
from trimode.engines.tower import Tower
from trimode.errors import BundleError, CancelledError, DeadlineError, NotFiniteError
from trimode.vision.encoder import PASS_PATCHES, Encoder, open_encoder
from trimode.vision.until import Until

from tests.support.pictures import FACTS
from tests.support.toy import manifest

HIDDEN = 4


@dataclass(frozen=True)
class Shown:
    """A picture of one colour."""

    colour: float
    cells: tuple[int, int] = (1, 1)

    @property
    def pixels(self) -> Floats:
        return np.full((3, 28 * self.cells[1], 28 * self.cells[0]), self.colour, dtype=np.float32)

    @property
    def digest(self) -> bytes:
        return str(self.colour).encode()


@dataclass
class Counting:
    """A tower that gives each cell its picture's colour."""

    passes: list[int] = field(default_factory=list)
    closed: int = 0

    @classmethod
    def open(cls, bundle: Path, *, threads: int, device: int = 0, on_gpu: bool = False) -> Self:
        return cls()

    def encode(self, pictures: Sequence[Floats]) -> list[Floats]:
        self.passes.append(len(pictures))
        cells = [one.shape[1] * one.shape[2] // 784 for one in pictures]
        return [np.full((n, HIDDEN), one[0, 0, 0]) for n, one in zip(cells, pictures, strict=True)]

    def close(self) -> None:
        self.closed += 1


def encoder(tower: Tower, budget: int = 2**20, origin: str = "a") -> Encoder:
    return Encoder(tower, FACTS, origin, budget)


def test_pictures_come_back_in_order() -> None:
    found = encoder(Counting()).encode([Shown(1.0), Shown(2.0, (3, 2)), Shown(1.0)])
    assert [len(one.features) for one in found] == [1, 6, 1]
    assert [one.features[0, 0] for one in found] == [1.0, 2.0, 1.0]


def test_equal_pictures_are_encoded_once() -> None:
    tower = Counting()
    made = encoder(tower)
    made.encode([Shown(1.0), Shown(1.0)])
    made.encode([Shown(1.0), Shown(2.0)])
    assert tower.passes == [1, 1]
    assert (made.encoded, made.found) == (2, 2)


def test_what_does_not_fit_is_forgotten_the_oldest_first() -> None:
    tower, row = Counting(), HIDDEN * 4
    made = encoder(tower, budget=2 * row)
    for colour in (1.0, 2.0, 1.0, 3.0):  # 2.0 was used longest ago
        made.encode([Shown(colour)])
    assert made.held_bytes == 2 * row
    made.encode([Shown(1.0)])
    assert len(tower.passes) == 3
    made.encode([Shown(2.0)])
    assert len(tower.passes) == 4


def test_without_a_budget_nothing_is_kept_and_all_is_given() -> None:
    made = encoder(Counting(), budget=0)
    assert len(made.encode([Shown(1.0), Shown(2.0)])) == 2
    assert made.held_bytes == 0


def test_keys_differ_by_content_size_and_origin() -> None:
    asked = [Shown(1.0), Shown(2.0), Shown(1.0, (2, 1)), Shown(1.0, (1, 2))]
    keys = [one.key for one in encoder(Counting()).encode(asked)]
    keys += [one.key for one in encoder(Counting(), origin="b").encode(asked)]
    assert len(set(keys)) == 8
    assert max(keys) < 0


def test_small_pictures_share_a_pass_and_a_large_one_has_its_own() -> None:
    tower = Counting()
    across = 32
    down = PASS_PATCHES // 4 // across
    encoder(tower).encode([Shown(1.0), Shown(2.0), Shown(3.0, (across, down + 1)), Shown(4.0), Shown(5.0)])
    assert tower.passes == [2, 1, 2]


def test_values_that_are_no_numbers_are_refused_and_not_kept() -> None:
    made = encoder(Counting())
    with pytest.raises(NotFiniteError):
        made.encode([Shown(float("nan"))])
    assert made.held_bytes == 0
    assert made.encode([Shown(1.0)])[0].features[0, 0] == 1.0


def test_one_pass_runs_at_a_time() -> None:
    inside, most, lock = 0, 0, threading.Lock()

    class Slow(Counting):
        def encode(self, pictures: Sequence[Floats]) -> list[Floats]:
            nonlocal inside, most
            with lock:
                inside, most = inside + 1, max(most, inside + 1)
            found = super().encode(pictures)
            with lock:
                inside -= 1
            return found

    made = encoder(Slow())
    threads = [threading.Thread(target=made.encode, args=([Shown(float(n))],)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (most, made.encoded) == (1, 8)


def test_closing_closes_the_tower() -> None:
    tower = Counting()
    encoder(tower).close()
    assert tower.closed == 1


def test_a_model_that_reads_text_alone_has_none(tmp_path: Path) -> None:
    assert open_encoder(tmp_path, manifest(), ServerConfig(), 1) is None


def test_a_bundle_with_a_tower_has_one(vlm_kit: Path, bundle_of: Callable[[Path], Path]) -> None:
    bundle = bundle_of(vlm_kit / "checkpoints" / "plain")
    made = open_encoder(bundle, Manifest.load(bundle), ServerConfig(threads=1), 2**20)
    assert made is not None
    assert made.encode([Shown(0.5, (2, 1))])[0].features.shape == (2, 64)


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (
            replace(FACTS, patch=16),
            "manifest.json: vision.patch x vision.merge must be 28 pixels, a cell's side, got 32",
        ),
        (replace(FACTS, side=99), "manifest.json: vision.side x vision.patch must be at least 1400 pixels.* got 1386"),
    ],
)
def test_a_tower_of_sizes_that_pictures_do_not_have_is_not_opened(
    tmp_path: Path, facts: VisionFacts, said: str
) -> None:
    with pytest.raises(BundleError, match=said):
        open_encoder(tmp_path, replace(manifest(), vision=facts), ServerConfig(), 1)


def test_features_are_read_by_all_and_written_by_none() -> None:
    made = encoder(Counting())
    first, again = made.encode([Shown(1.0)])[0], made.encode([Shown(1.0)])[0]
    assert first is again and not first.features.flags.writeable


def test_a_request_that_ended_takes_no_pass() -> None:
    tower = Counting()
    made = encoder(tower)
    with pytest.raises(DeadlineError):
        made.encode([Shown(1.0)], Until(0.0))
    with pytest.raises(CancelledError):
        made.encode([Shown(1.0)], Until.of(cancelled=lambda: True))
    assert tower.passes == [] and made.held_bytes == 0
