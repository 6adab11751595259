"""Which weights of a checkpoint's language model are those of another checkpoint, bit for bit. Knows no results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from trimode_convert.checkpoint.checkpoint import Checkpoint


def shared(checkpoint: Path, other: Path) -> dict[str, Any]:
    """Return the other's name, how many tensors of its language model there are, and how many of them are equal.

    Rows that a larger vocabulary has after the other's are left out.
    """
    with Checkpoint.open(checkpoint) as ours, Checkpoint.open(other) as theirs:
        pairs = [(ours.tensors.get(name), tensor) for name, tensor in theirs.tensors.items()]
        equal = 0
        for own, tensor in pairs:
            if own is None or own.shape[1:] != tensor.shape[1:] or own.shape[0] < tensor.shape[0]:
                continue
            equal += np.array_equal(own.read()[: tensor.shape[0]], tensor.read())
        return {"of": theirs.name, "tensors": len(pairs), "equal": equal}
