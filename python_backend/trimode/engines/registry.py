"""Which engine opens a bundle, and the first pass that shows whether it works.

Knows every engine by the `runtime` that a manifest names. Knows nothing of how an engine computes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..bundle.manifest import Manifest, rebuild_hint
from ..errors import BundleError, EngineError
from .base import Engine, Row
from .expected import check_expected, check_pictures
from .options import EngineOptions
from .tower import Tower


def _onnx() -> type[Engine]:
    from .onnx.engine import OnnxRuntimeEngine

    return OnnxRuntimeEngine


def _tensorrt() -> type[Engine]:
    from .tensorrt.engine import TensorRtEngine

    return TensorRtEngine


def _torch() -> type[Engine]:
    from .torch.engine import TorchEngine

    return TorchEngine


def _onnx_tower() -> type[Tower]:
    from .onnx.tower import OnnxRuntimeTower

    return OnnxRuntimeTower


def _tensorrt_tower() -> type[Tower]:
    from .tensorrt.tower import TensorRtTower

    return TensorRtTower


def _torch_tower() -> type[Tower]:
    from .torch.tower import TorchTower

    return TorchTower


TOWERS: dict[str, Callable[[], type[Tower]]] = {
    "onnxruntime": _onnx_tower,
    "tensorrt": _tensorrt_tower,
    "torch": _torch_tower,
}
"""What imports the tower of a bundle, by the `runtime` of its manifest: every engine has one."""
ENGINES: dict[str, Callable[[], type[Engine]]] = {"onnxruntime": _onnx, "tensorrt": _tensorrt, "torch": _torch}
"""What imports the engine of a bundle, by the `runtime` of its manifest; what one engine needs, others do without."""
EXTRAS = {"onnxruntime": "serve", "tensorrt": "gpu", "torch": "torch"}
"""The extra of this project that installs what an engine needs."""


def open_engine(bundle: Path, options: EngineOptions, gpu: int | None = None) -> Engine:
    """Open `bundle` with the engine that its manifest names, and compare it with the rows that the bundle expects.

    Args:
        gpu: the number of a GPU that was asked for; None leaves it to the engine whether it needs that of `options`.

    Raises:
        BundleError: the bundle is missing, broken or mismatched, nothing on this machine can run it, or what runs it
            answers wrongly.
        EngineError: one of these passes failed.
    """
    runtime = Manifest.load(bundle).runtime
    find = ENGINES.get(runtime)
    if find is None:
        raise BundleError(
            f"{bundle}: runtime: expected one of {list(ENGINES)}, got {runtime!r}. {rebuild_hint(bundle)}"
        )
    try:
        engine = find()
    except ImportError as exc:
        install = f"pip install 'trimode[{EXTRAS[runtime]}]'"
        raise BundleError(f"{bundle} runs on {runtime}, which cannot be imported here ({exc}): {install}") from exc
    opened = engine.open(
        bundle,
        threads=options.threads,
        spin=options.spin,
        max_slots=options.max_slots,
        device=options.device if gpu is None else gpu,
        on_gpu=gpu is not None,
    )
    try:
        check_expected(opened, bundle)
    except BaseException:
        opened.close()
        raise
    return opened


def open_tower(bundle: Path, manifest: Manifest, options: EngineOptions, gpu: int | None = None) -> Tower | None:
    """Open what encodes pictures in `bundle`, whose engine is open, and compare it with the rows that it expects.

    None where the checkpoint reads text alone.

    Args:
        gpu: the number of a GPU that was asked for, as in open_engine.

    Raises:
        BundleError: it is broken, lacks memory, or encodes pictures wrongly.
        EngineError: its pass failed.
    """
    if manifest.vision is None:
        return None
    device = options.device if gpu is None else gpu
    tower = TOWERS[manifest.runtime]().open(bundle, threads=options.threads, device=device, on_gpu=gpu is not None)
    try:
        check_pictures(tower, bundle, manifest)
    except BaseException:
        tower.close()
        raise
    return tower


def warm_up(engine: Engine) -> None:
    """Run one causal pass, so that a broken engine is noticed before it is called ready.

    Raises:
        EngineError: the pass failed, or its logits are not finite.
    """
    slot = engine.allocate(block=False)
    try:
        one = np.zeros(1, dtype=np.int64)
        result = engine.run([Row(slot, one, 0, "causal", one, keep=True)])[0]
        if not np.isfinite(result.logits).all():
            raise EngineError("the engine's first pass gave logits that are not finite")
    finally:
        engine.free(slot)
