"""The most memory that a stub on the CPU may hold, part by part, as docs/operations.md states it.

Computes it from the manifest and the settings. Measures nothing.
"""

from __future__ import annotations

from trimode.bundle.manifest import WEIGHTS, Manifest
from trimode.config import ServerConfig
from trimode.engines.onnx.memory import CALL_ROWS, copy_bytes, result_bytes, slot_bytes
from trimode.engines.slot_memory import MOST

MIB = 2**20
BASE_MIB = (
    90.0  # Python, its packages, ONNX Runtime and the tokenizer: a stub of nano that has loaded, less its weights
)
INTERMEDIATE_MIB = 300.0  # of ONNX Runtime, for the largest call of a model like nano
GRAMMARS_MIB = 64.0


def bound(manifest: Manifest, config: ServerConfig) -> dict[str, float]:
    """Return the parts in MiB, by name."""
    slots = config.max_slots if isinstance(config.max_slots, int) else MOST
    rows = max(CALL_ROWS, config.prefill_chunk)
    return {
        "programs": BASE_MIB,
        "weights": manifest.files[WEIGHTS] / MIB,
        "keys and values": slots * slot_bytes(manifest) / MIB,
        "their copy for a call": slots * copy_bytes(manifest) / MIB,
        "results of a call": result_bytes(manifest, rows) / MIB,
        "intermediate values of a call": INTERMEDIATE_MIB,
        "prefix cache": float(config.prefix_cache_mib),
        **({} if manifest.vision is None else {"pictures": float(config.picture_cache_mib)}),
        "grammars": GRAMMARS_MIB,
    }
