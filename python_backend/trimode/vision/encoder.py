"""Encoder: from prepared pictures to rows for the language model; what was encoded lately is not encoded again.

Any thread but the scheduler's may call it; one pass of the tower runs at a time. Knows nothing of prompts.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..bundle.manifest import MANIFEST, Manifest
from ..bundle.vision_facts import VisionFacts
from ..engines.base import Floats
from ..engines.options import EngineOptions
from ..engines.registry import open_tower
from ..engines.tower import Tower
from ..errors import NotFiniteError
from .encoded import Encoded, Pixels
from .size import check_facts
from .until import Until

PASS_PATCHES = 4096
"""Patches of one pass of the tower over several pictures: small ones share a pass, and a large one has its own."""
NOT_FINITE = "the model's values for a picture are not finite numbers"


def open_encoder(
    bundle: Path, manifest: Manifest, options: EngineOptions, budget: int, gpu: int | None = None
) -> Encoder | None:
    """Open the tower of a bundle; None where its checkpoint reads text alone.

    Args:
        gpu: the number of a GPU that was asked for.
        budget: bytes of what is kept of pictures.

    Raises:
        BundleError: the tower is broken or of sizes that pictures do not have, or its engine has none.
    """
    if manifest.vision is not None:
        check_facts(manifest.vision, str(bundle / MANIFEST))
    tower = open_tower(bundle, manifest, options, gpu)
    if tower is None or manifest.vision is None:
        return None
    return Encoder(tower, manifest.vision, f"{manifest.checkpoint_hash} {manifest.precision}", budget)


class Encoder:
    """A tower, and what it made of the pictures that were used last, up to `budget` bytes.

    Attributes:
        encoded, found: pictures that went through the tower, and those that had before.
        held_bytes: what is kept.
    """

    def __init__(self, tower: Tower, facts: VisionFacts, origin: str, budget: int) -> None:
        """Take over `tower`.

        Args:
            origin: names checkpoint and precision; encoders that differ in it give other features.
        """
        self.facts = facts
        self.encoded = 0
        self.found = 0
        self.held_bytes = 0
        self._tower = tower
        self._origin = origin
        self._budget = budget
        self._kept: OrderedDict[int, Encoded] = OrderedDict()
        self._lock = threading.Lock()

    def encode(self, pictures: Sequence[Pixels], until: Until | None = None) -> list[Encoded]:
        """Return what stands for each picture, in order; blocks while the tower runs. Equal pictures are one.

        Args:
            until: heard before each pass; PICTURE_SECONDS from now without it.

        Raises:
            EngineError: the tower failed.
            NotFiniteError: it gave values that are not finite.
            CancelledError, DeadlineError: see Until.check.
        """
        until = until or Until.of()
        keys = [self._key(one) for one in pictures]
        with until.holding(self._lock):
            found = {key: self._kept[key] for key in keys if key in self._kept}
            new = {key: one for key, one in zip(keys, pictures, strict=True) if key not in found}
            for batch in _passes(list(new.items())):
                until.check()
                rows = self._tower.encode([one.pixels for _, one in batch])
                found |= {key: _checked(features, key) for (key, _), features in zip(batch, rows, strict=True)}
            self.encoded += len(new)
            self.found += len(keys) - len(new)
            self._keep(found)
        return [found[key] for key in keys]

    def close(self) -> None:
        """Release the tower once the pass that runs has ended."""
        with self._lock:
            self._tower.close()

    def _key(self, picture: Pixels) -> int:
        made = hashlib.sha256(f"{self._origin} {picture.cells} ".encode())
        made.update(picture.digest)
        return -1 - int.from_bytes(made.digest())

    def _keep(self, used: dict[int, Encoded]) -> None:
        for key, one in used.items():
            if key not in self._kept:
                self._kept[key] = one
                self.held_bytes += one.features.nbytes
            self._kept.move_to_end(key)
        while self.held_bytes > self._budget:
            _, oldest = self._kept.popitem(last=False)
            self.held_bytes -= oldest.features.nbytes


def _checked(features: Floats, key: int) -> Encoded:
    if not np.isfinite(features).all():
        raise NotFiniteError(NOT_FINITE)
    features.setflags(write=False)  # it is shared by all prompts in which the picture stands
    return Encoded(features, key)


def _passes(pictures: list[tuple[int, Pixels]]) -> list[list[tuple[int, Pixels]]]:
    """Cut pictures into passes of at most PASS_PATCHES patches, or of one picture."""
    passes: list[list[tuple[int, Pixels]]] = []
    room = 0
    for key, one in pictures:
        size = 4 * one.cells[0] * one.cells[1]
        if size > room:
            passes.append([])
            room = PASS_PATCHES
        passes[-1].append((key, one))
        room -= size
    return passes
