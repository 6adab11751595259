"""transformers loads a renamed checkpoint as an autoregressive model and gives the reference's logits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from trimode_convert.cli import main

transformers = pytest.importorskip("transformers", reason="make test-train installs transformers")


@pytest.mark.parametrize("name", ["plain", "wide", "yarn"])
def test_the_logits_of_a_causal_pass_are_the_references(name: str, parity_kit: Path, tmp_path: Path) -> None:
    renamed = tmp_path / name
    assert main([str(parity_kit / "checkpoints" / name), "--out", str(renamed), "--target", "hf-ministral"]) == 0
    model, said = transformers.AutoModelForCausalLM.from_pretrained(
        renamed, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
    )
    assert type(model).__name__ == "Ministral3ForCausalLM"
    assert not any(said.values()), "no tensor is missing, left over, or of another shape"
    stored = np.load(parity_kit / "logits" / f"{name}.npz")
    prompts = [key.removesuffix("_ids") for key in stored if key.startswith("prompt") and key.count("_") == 1]
    prompts = [key for key in prompts if f"{key}_causal" in stored]
    assert len(prompts) >= 2
    for prompt in prompts:
        with torch.inference_mode():
            found = model(torch.from_numpy(stored[f"{prompt}_ids"])[None]).logits[0].numpy()
        expected = stored[f"{prompt}_causal"]
        assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()
        np.testing.assert_array_equal(found.argmax(-1), expected.argmax(-1))
