"""Compares what an engine answers with the rows that its bundle expects, in the precision that serves.

Kernels for attention under a mask were wrong before in releases of TensorRT, in silence and for some shapes alone: a
single token behind a gap in its mask, for one. So the passes have these shapes. Knows no engine.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..bundle.expected_rows import ExpectedPass, ExpectedRows, noise
from ..bundle.manifest import Manifest, rebuild_hint
from ..errors import BundleError
from .base import Engine, Row, RowResult
from .tower import Tower

ADVICE = {
    "tensorrt": "Build it in float32, whose attention has other kernels, or under another version of TensorRT",
    "torch": "Build it with another precision, or install another version of PyTorch",
}
"""What to do where an engine answers wrongly, by the runtime of its bundle."""

logger = logging.getLogger(__name__)


class _Worst(NamedTuple):
    """The greatest difference of a pass: at which token, of which id, and both logits."""

    token: int
    id: int
    got: float
    expected: float


def check_expected(engine: Engine, bundle: Path) -> float | None:
    """Run the passes that a bundle expects, in one slot; return the largest relative RMS, None where it has none.

    They are 8 at most, of 160 tokens together, or of some 650 where positions are scaled early.

    Raises:
        BundleError: the engine answers wrongly; names the pass, the greatest difference and the tolerance.
        EngineError: a pass failed.
    """
    manifest = engine.manifest
    if (expected := ExpectedRows.load(bundle, manifest)) is None:
        return None
    slot, largest = engine.allocate(block=False), 0.0
    try:
        for one in expected.passes:
            result = engine.run([_row(one, slot)])[0]
            problem, error = _judged(one, result, expected.tolerance)
            if problem is not None:
                raise _wrong(bundle, manifest, "the engine answers", problem)
            largest = max(largest, error)
    finally:
        engine.free(slot)
    logger.info(
        "%d passes answer as the bundle expects: relative RMS at most %.1e, %.1e allowed",
        *(len(expected.passes), largest, expected.tolerance),
    )
    return largest


def check_pictures(tower: Tower, bundle: Path, manifest: Manifest) -> float | None:
    """Encode the pictures that a bundle expects, together; return the largest relative RMS, None where it has none.

    Raises:
        BundleError: the tower gives other rows; names the picture and the tolerance.
        EngineError: the pass failed.
    """
    expected = ExpectedRows.load(bundle, manifest)
    if manifest.vision is None or expected is None or not expected.pictures:
        return None
    size, given, largest = manifest.vision.cell, list[npt.NDArray[np.float32]](), 0.0
    for one in expected.pictures:
        shape = (3, one.down * size, one.across * size)
        given.append(np.array(noise(one.seed, 3 * shape[1] * shape[2]), dtype=np.float32).reshape(shape))
    for one, rows in zip(expected.pictures, tower.encode(given), strict=True):
        values = np.array(one.values)  # (R, K)
        got = rows[np.ix_(one.cells, one.channels)].astype(np.float64)
        error = float(np.sqrt(((got - values) ** 2).mean() / (values**2).mean()))
        if not error <= expected.tolerance:  # which a NaN is not either
            problem = (
                f"a picture of {one.across} x {one.down} cells: relative RMS {error:.2g} of its rows, at most "
                f"{expected.tolerance:g}"
            )
            raise _wrong(bundle, manifest, "the tower encodes", problem)
        largest = max(largest, error)
    logger.info(
        "%d pictures are encoded as the bundle expects: relative RMS at most %.1e, %.1e allowed",
        *(len(given), largest, expected.tolerance),
    )
    return largest


def _wrong(bundle: Path, manifest: Manifest, who: str, problem: str) -> BundleError:
    advice = ADVICE.get(manifest.runtime, "Build it with another precision")
    where = f"{who} wrongly in {manifest.precision} on this device"
    return BundleError(f"{bundle}: {where}: {problem}. {advice}. {rebuild_hint(bundle, manifest)}")


def _row(one: ExpectedPass, slot: int) -> Row:
    ids, want = (np.array(values, dtype=np.int64) for values in (one.tokens, one.want))
    return Row(slot, ids, one.start, "causal" if one.causal else "block", want, keep=one.keep, adapter=one.adapter)


def _judged(one: ExpectedPass, result: RowResult, tolerance: float) -> tuple[str | None, float]:
    """Return what is wrong with a pass, None if nothing is, and the relative RMS of its logits."""
    ids, expected = np.array(one.ids), np.array(one.logits)  # both (R, K)
    logits = result.logits
    got = np.take_along_axis(logits, ids, axis=1).astype(np.float64)
    size = float(np.sqrt((expected**2).mean()))
    error = float(np.sqrt(((got - expected) ** 2).mean())) / size
    if not error <= tolerance:  # which a NaN is not either
        worst = _worst(one, got, expected)
        return (
            f"{one.name!r}, token {worst.token}: the logit of id {worst.id} is {worst.got:.4g} and must be "
            f"{worst.expected:.4g}, the greatest difference; relative RMS {error:.2g} of that pass, at most "
            f"{tolerance:g}"
        ), error
    scores = result.without_mask()
    short = scores.max(axis=1) - scores[np.arange(len(scores)), result.top_id]
    if short[row := int(short.argmax())] > tolerance * size:
        chosen = int(result.top_id[row])
        best = int(scores[row].argmax())
        return f"{one.name!r}, token {one.want[row]}: it chose id {chosen}, and id {best} has a larger logit", error
    return None, error


def _worst(one: ExpectedPass, got: npt.NDArray[np.float64], expected: npt.NDArray[np.float64]) -> _Worst:
    away = np.abs(got - expected)
    row, at = np.unravel_index(int(np.where(np.isnan(away), np.inf, away).argmax()), away.shape)
    return _Worst(one.want[row], one.ids[row][at], float(got[row, at]), float(expected[row, at]))
