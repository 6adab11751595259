"""The precisions of bundles for torch."""

from __future__ import annotations

import torch

FP8 = "fp8"
TYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32, FP8: torch.bfloat16}
"""torch's type of activations and cache of each precision, and of its weights but for FP8's products."""
