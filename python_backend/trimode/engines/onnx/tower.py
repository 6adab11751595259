"""The tower on the CPU: one session of its own, so that it does not wait for the language model's passes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import onnxruntime as ort

from ...bundle.manifest import TOWER_GRAPH, Manifest
from ...bundle.vision_facts import VisionFacts
from ...errors import BundleError, EngineError
from ..base import Floats
from ..patches import cut
from .session import open_session

INPUTS = {"patches", "positions", "starts"}


class OnnxRuntimeTower:
    """Implements `tower.Tower`."""

    def __init__(self, session: ort.InferenceSession, facts: VisionFacts) -> None:
        self._session = session
        self._facts = facts

    @classmethod
    def open(cls, bundle: Path, *, threads: int, device: int = 0, on_gpu: bool = False) -> Self:
        """Load the tower of a bundle that has one; `threads` 0 takes every core. The rest has no effect.

        Raises:
            BundleError: the bundle is broken, or has no tower.
        """
        manifest = Manifest.load(bundle)
        if manifest.vision is None:
            raise BundleError(f"{bundle} holds no {TOWER_GRAPH}: its checkpoint reads text alone")
        session = open_session(bundle / TOWER_GRAPH, manifest.precision, threads=threads, spin=False)
        found = {node.name for node in session.get_inputs()}
        sizes = [list(node.shape)[1:] for node in session.get_outputs() if node.name == "features"]
        if found != INPUTS or sizes != [[manifest.hidden_size]]:
            raise BundleError(f"{bundle / TOWER_GRAPH} has inputs {sorted(found)} and features {sizes}")
        return cls(session, manifest.vision)

    def encode(self, pictures: Sequence[Floats]) -> list[Floats]:
        """Return the rows that stand for each picture; see `tower.Tower`."""
        return self.run(pictures, "features")

    def run(self, pictures: Sequence[Floats], output: str) -> list[Floats]:
        """Return an output of the graph for each picture: "features", or "patch_states" in the order of cells.

        Raises:
            EngineError: the pass failed.
        """
        patches = cut(pictures, self._facts)
        feeds = {"patches": patches.values, "positions": patches.positions, "starts": patches.starts}
        try:
            (rows,) = self._session.run([output], feeds)
        except Exception as exc:  # onnxruntime's exceptions have no base class of their own
            raise EngineError(f"the tower failed on {len(patches.values)} patches: {exc}") from exc
        return patches.split(rows, self._facts.merge if output == "features" else 1)

    def close(self) -> None:
        """Do nothing: memory goes with the object."""
