"""The bytes of keys and values, counted in a cache that is really allocated."""

from __future__ import annotations

import numpy as np
from trimode.bundle.kv_memory import kv_bytes

from tests.support.toy import manifest


def test_a_cache_has_so_many_bytes() -> None:
    model = manifest()
    shape = (2 * model.num_layers, model.num_kv_heads, 30, model.head_dim)
    assert kv_bytes(model, 30, 2) == np.zeros(shape, np.float16).nbytes
    assert kv_bytes(model, 30, 4) == np.zeros(shape, np.float32).nbytes
