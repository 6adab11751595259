"""The precisions of bundles for torch."""

from __future__ import annotations

import torch

TYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}
"""torch's type of each precision."""
