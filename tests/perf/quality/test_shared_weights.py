"""Which weights two checkpoints share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from trimode_perf.quality.shared_weights import shared

from tests.support import checkpoints as factory
from tests.support import vision_checkpoints as seeing


def test_a_tower_and_more_rows_of_the_vocabulary_leave_the_language_model_the_same(tmp_path: Path) -> None:
    text = factory.config()
    arrays = factory.tensors(text)
    factory.write(tmp_path / "text", text, arrays)
    more = seeing.config(vocab_size=text["vocab_size"] + 1)
    own = {**seeing.tensors(more), **arrays}
    for name in ("encoder.embed_tokens.weight", "diffusion_head.weight"):
        own[name] = np.concatenate([arrays[name], arrays[name][:1]])
    factory.write(tmp_path / "same", more, own)
    found = shared(tmp_path / "same", tmp_path / "text")
    assert found == {"of": "text", "tensors": len(arrays), "equal": len(arrays)}
    changed = {**own, "encoder.norm.weight": own["encoder.norm.weight"] + 1}
    factory.write(tmp_path / "changed", more, changed)
    assert shared(tmp_path / "changed", tmp_path / "text")["equal"] == len(arrays) - 1


def test_tensors_of_other_shapes_are_not_shared(tmp_path: Path) -> None:
    factory.write(tmp_path / "one")
    factory.write(tmp_path / "wide", factory.config(vocab_size=factory.config()["vocab_size"] - 1))
    found = shared(tmp_path / "wide", tmp_path / "one")
    assert found["equal"] <= found["tensors"] - 2  # neither the embedding nor the head
