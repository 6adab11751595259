"""What the TensorRT engine asks of CUDA, on this machine's own driver: copies, the cache's lanes, and graphs.

Needs cuda-bindings and no TensorRT. Everything that arrives is compared with what was sent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .needs import Unavailable, imported

PLANES, LANES, HEADS, CAPACITY, ENTRY = 6, 5, 3, 96, 64
"""Of a small cache: planes, lanes, heads, entries of a lane, bytes of an entry."""
SIZE = 1 << 16  # bytes of a plain copy


def compare(device: str, before: Callable[[], None] = lambda: None) -> dict[str, str]:
    """Return what came of each check: "ok", or what was wrong; or only why there are none, as `skipped`.

    Calls `before` before each; what it raises ends the checks.
    """
    try:
        if device != "cuda":
            raise Unavailable("CUDA runs on a GPU alone")
        module = imported("trimode.engines.tensorrt.cuda", "numpy", "trimode.engines.tensorrt.cache")
        imported(module.BINDINGS)
    except Unavailable as exc:
        return {"skipped": str(exc)}
    found = {}
    for name, check in CHECKS.items():
        before()
        found[name] = _state(module, check)
    return found


def _state(module: Any, check: Callable[[Any], None]) -> str:
    try:
        cuda = module.Cuda.open(0)
        try:
            check(cuda)
        finally:
            cuda.close()
    except Exception as exc:  # whatever the driver does must not cost the other checks
        return f"{type(exc).__name__}: {exc}"
    return "ok"


def _same(found: Any, sent: Any) -> None:
    import numpy as np

    if not np.array_equal(found, sent):
        raise ValueError(f"{int((found != sent).sum())} of {sent.size} values differ")


def _copies(cuda: Any) -> None:
    """Bytes go from page-locked memory to the device and back."""
    import numpy as np

    there, here, back = cuda.allocate(SIZE), cuda.pin(SIZE), cuda.pin(SIZE)
    here[:] = np.random.default_rng(0).integers(0, 256, SIZE)
    cuda.upload(there, here.ctypes.data, SIZE)
    cuda.download(back.ctypes.data, there, SIZE)
    cuda.wait()
    _same(back, here)
    cuda.clear(there, SIZE)
    cuda.download(back.ctypes.data, there, SIZE)
    cuda.wait()
    _same(back, np.zeros(SIZE, np.uint8))


def _lanes(cuda: Any) -> None:
    """Entries of slots survive as slots come, move to the other side, and go."""
    import numpy as np

    cache = imported("trimode.engines.tensorrt.cache").DeviceCache(
        cuda, planes=PLANES, lanes=LANES, heads=HEADS, capacity=CAPACITY, entry_bytes=ENTRY
    )
    rng = np.random.default_rng(0)
    held = {}
    for number in range(LANES):
        slot, start, count = cache.allocate(block=number % 2 == 0), 3 * number, 20 + number
        entries = rng.standard_normal((PLANES, HEADS, count, ENTRY // 4), np.float32)
        cache.copy_in(slot, start, entries)
        held[slot] = start, entries
    for slot in list(held)[::2]:
        cache.free(slot)
        del held[slot]
        for other in held:
            cache.place(other, block=bool(rng.integers(2)))
        for other, (start, entries) in held.items():
            _same(cache.copy_out(other, start, entries.shape[2]), entries)


def _graphs(cuda: Any) -> None:
    """A captured copy there and back takes what lies there when it is launched, each time."""
    import numpy as np

    there, here, back = cuda.allocate(SIZE), cuda.pin(SIZE), cuda.pin(SIZE)

    def enqueue() -> None:
        cuda.upload(there, here.ctypes.data, SIZE)
        cuda.download(back.ctypes.data, there, SIZE)

    graph = cuda.capture(enqueue)
    for value in (1, 2, 3):
        here[:] = np.full(SIZE, value, np.uint8)
        cuda.launch(graph)
        cuda.wait()
        _same(back, here)
    cuda.forget(graph)


CHECKS: dict[str, Callable[[Any], None]] = {"copies": _copies, "lanes": _lanes, "graphs": _graphs}
