"""The rows that a bundle expects of its engine, compared on this device in every precision that serves.

That is what a server does at each start. Here the shipped checkpoint goes through the torch engine, and through plans
of TensorRT and TensorRT-RTX, where these can be had; of TensorRT-RTX on another GPU than it is for, its refusal.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from ..common import NANO
from . import rtx
from .engines import built
from .needs import Unavailable, imported

PRECISIONS = ("bfloat16", "float16", "fp8", "float32")
RUNTIMES = ("torch", "tensorrt", "tensorrt_rtx")
NEEDED = ("trimode.engines.registry", "trimode_convert.cli")
LONGEST = 256  # tokens: more than the passes reach
Place = tuple[str, str]


def places() -> list[Place]:
    """Return what is compared, as (runtime, precision), in the order of worth."""
    return [(runtime, precision) for runtime in RUNTIMES for precision in PRECISIONS]


def compared(
    device: str, done: Collection[Place] = (), runtimes: Collection[str] = RUNTIMES
) -> Iterator[dict[str, Any]]:
    """Yield a row for each place of `runtimes` that is not `done`: what came of it, and whether that is a fault."""
    for runtime, precision in places():
        if runtime in runtimes and (runtime, precision) not in done:
            found, fault = _found(device, runtime, precision)
            yield {"runtime": runtime, "precision": precision, "found": found, "fault": fault}


def _found(device: str, runtime: str, precision: str) -> tuple[str, bool]:
    try:
        registry = imported(*NEEDED, *([] if runtime == "torch" else [runtime]))
        if runtime != "torch" and device != "cuda":
            raise Unavailable("TensorRT runs on a GPU alone")
        with _bundle(runtime, precision) as bundle:
            if runtime == "tensorrt_rtx" and (said := rtx.asked(bundle, _capability())) is not None:
                return said, False
            config = imported("trimode.config").ServerConfig(bundle=bundle, threads=1, max_slots=2)
            engine = registry.open_engine(bundle, config, 0 if device == "cuda" else None)
            try:
                error = imported("trimode.engines.expected").check_expected(engine, bundle)
            finally:
                engine.close()
    except Unavailable as exc:
        return f"skipped: {exc}", False
    except Exception as exc:  # whatever a library raises must not cost the others' results
        return f"{type(exc).__name__}: {exc}", True
    return f"as expected, relative RMS {error:.1e}", False


def _capability() -> str:
    return ".".join(map(str, imported("torch").cuda.get_device_capability()))


def _bundle(runtime: str, precision: str) -> AbstractContextManager[Path]:
    options = ("--precision", precision)
    if runtime == "torch":
        return built(NANO, LONGEST, "--target", "torch", *options, "--verify")
    return built(NANO, LONGEST, "--target", "tensorrt", "--flavour", runtime, "--batch", "2", *options)
