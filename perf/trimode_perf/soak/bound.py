"""The most memory that a stub on the CPU may hold, part by part, as docs/operations.md states it.

Computes it from the manifest and the settings. Measures nothing.
"""

from __future__ import annotations

from trimode.bundle.manifest import WEIGHTS, Manifest
from trimode.config import ServerConfig

MIB = 2**20
BASE_MIB = (
    90.0  # Python, its packages, ONNX Runtime and the tokenizer: a stub of nano that has loaded, less its weights
)
CALL_ROWS = 512  # rows of one call's results, unless `prefill_chunk` is above
INTERMEDIATE_MIB = 300.0  # of ONNX Runtime, for the largest call of a model like nano
GRAMMARS_MIB = 64.0
VALUE_BYTES = 4  # float32


def bound(manifest: Manifest, config: ServerConfig) -> dict[str, float]:
    """Return the parts in MiB, by name."""
    token = 2 * manifest.num_layers * manifest.num_kv_heads * manifest.head_dim * VALUE_BYTES  # keys and values of one
    cache = 2 * config.max_slots * manifest.capacity * token / MIB
    rows = max(CALL_ROWS, config.prefill_chunk)
    return {
        "programs": BASE_MIB,
        "weights": manifest.files[WEIGHTS] / MIB,
        "keys and values": cache,
        "their copy for a call": cache / 2,
        "results of a call": 2 * rows * (manifest.vocab_size * VALUE_BYTES + token) / MIB,
        "intermediate values of a call": INTERMEDIATE_MIB,
        "prefix cache": float(config.prefix_cache_mib),
        **({} if manifest.vision is None else {"pictures": float(config.picture_cache_mib)}),
        "grammars": GRAMMARS_MIB,
    }
