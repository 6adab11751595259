"""transformers' own greedy `generate` on its Ministral3 class, which the checkpoint is with its tensors renamed.

Tensor names as tests/train/model/test_transformers.py, which holds the logits equal. Autoregressive only: transformers
has none of the family's block modes without the models' remote code.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from trimode_train.model import shards

from .peer import Answer, Peer

os.environ["HF_HUB_OFFLINE"] = "1"  # before transformers is imported: nothing here may ask the network
import transformers

OURS_ONLY = {"architectures", "auto_map", "model_type", "torch_dtype", "transformers_version", "attn_implementation"}
RENAMED = (("encoder.", "model."), ("diffusion_head.", "lm_head."))


def ministral3(checkpoint: Path) -> Any:
    """Return the checkpoint as transformers' class, float32, with the class's own choice of attention (SDPA)."""
    config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    shape = {key: value for key, value in config.items() if key not in OURS_ONLY}
    model: Any = transformers.Ministral3ForCausalLM(transformers.Ministral3Config(**shape))
    weights = {}
    for name, tensor in shards.load(checkpoint).items():
        for theirs, ours in RENAMED:
            name = name.replace(theirs, ours, 1) if name.startswith(theirs) else name
        weights[name] = tensor.float()
    model.load_state_dict(weights, strict=True)
    return model.eval()


def load(checkpoint: Path, threads: int) -> Peer:
    """Load the checkpoint; passes are counted as they begin."""
    torch.set_num_threads(threads)
    model, passes = ministral3(checkpoint), 0

    def count(*_: object) -> None:
        nonlocal passes
        passes += 1

    model.model.register_forward_pre_hook(count)

    @torch.inference_mode()
    def generate(prompt: list[int], max_tokens: int, eos: int) -> Answer:
        nonlocal passes
        passes = 0
        ids = torch.tensor([prompt])
        given = {"do_sample": False, "use_cache": True, "eos_token_id": eos, "pad_token_id": eos}
        answer = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=max_tokens, **given)
        return Answer(answer[0, len(prompt) :].tolist(), passes - 1)

    return Peer(f"transformers {transformers.__version__}, generate", {"autoregressive": generate})
