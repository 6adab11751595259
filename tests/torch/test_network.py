"""The parts of the torch network whose results have a closed form, and that attention copies no keys or values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from trimode.bundle.tensor_index import Positions
from trimode.engines.base import Row
from trimode.engines.torch.network import Choices, choose, tables

from tests.torch.conftest import Opened

MASK = 2


def chosen(*rows: list[float]) -> tuple[list[int], list[float], torch.Tensor]:
    logits = torch.tensor(rows)
    choices = Choices(torch.zeros(len(rows), dtype=torch.int64), torch.zeros(len(rows)), torch.zeros(len(rows)))
    choose(logits, MASK, choices)
    torch.testing.assert_close(choices.log_norm, logits.float().logsumexp(dim=-1), equal_nan=True)
    return choices.top_id.tolist(), choices.top_prob.tolist(), logits


def test_the_mask_is_never_chosen_and_counts_among_the_probabilities() -> None:
    ids, probs, logits = chosen([0.0, np.log(2), np.log(5), 0.0], [1.0, 1.0, 0.0, 1.0])
    assert ids == [1, 0], "the first of equals"
    np.testing.assert_allclose(probs, [2 / 9, np.e / (3 * np.e + 1)], rtol=1e-6)
    np.testing.assert_allclose(logits[0].tolist(), [0.0, np.log(2), np.log(5), 0.0], rtol=1e-6)


def test_a_row_that_is_no_number_has_no_probability() -> None:
    of_mask = [[0.0, 0.0, value, 0.0] for value in (np.nan, np.inf, -np.inf)]
    _, probs, _ = chosen([0.0, np.nan, 0.0, 0.0], [0.0, np.inf, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], *of_mask)
    assert [bool(np.isnan(one)) for one in probs] == [True, True, False, True, True, False]


def test_tables_turn_by_position_and_scale_late_queries() -> None:
    cos, sin, scale = tables(Positions((1.0, 0.5), 2.0, 0.1, 4), 4, 9)
    np.testing.assert_allclose(cos[3], 2 * np.cos([3, 1.5, 3, 1.5]), rtol=1e-6)
    np.testing.assert_allclose(sin[3], 2 * np.sin([-3, -1.5, 3, 1.5]), rtol=1e-6)
    np.testing.assert_allclose(scale[[0, 3, 4, 8]], 0.5 * np.array([1, 1, 1 + 0.1 * np.log(2), 1 + 0.1 * np.log(3)]))


class Recording(TorchDispatchMode):
    """Notes the operations that run, and how many values each of their results has."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[tuple[str, int]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.done += [(str(func), one.numel()) for one in (result,) if isinstance(one, torch.Tensor)]
        return result


def test_attention_reads_keys_and_values_where_they_are(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))  # torch sets it once operations are watched
    engine = opened("plain")
    slots = [engine.allocate(block=True) for _ in range(4)]
    rows = [Row(slot, np.full(8, 3), 200, "block", np.arange(8), keep=False) for slot in slots]
    engine.run(rows)
    with Recording() as found:
        engine.run(rows)
    manifest = engine.manifest
    one_layers_keys = 4 * manifest.num_kv_heads * engine.capacity * manifest.head_dim
    views = ("aten.view", "aten.slice", "aten.select", "aten.transpose", "aten.alias", "aten.index_put_")
    made = [(name, size) for name, size in found.done if not name.startswith(views) and size >= one_layers_keys]
    assert made == [] and any("attention" in name or "mm" in name for name, _ in found.done)
