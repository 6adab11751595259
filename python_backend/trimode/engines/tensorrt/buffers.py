"""The memory in which every TensorRT call runs, on the GPU and on the host; allocated once.

Knows how much of it there is. Knows nothing of what the bytes mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from .cuda import Cuda
from .memory import Need


@dataclass(frozen=True)
class Buffers:
    """Memory that all calls use in turn: addresses on the GPU, and page-locked arrays on the host.

    `logits` (rows of the largest call, V) float32 are copied to the host only where they are asked for. `kept`, with
    room for `kept_bytes`, a block's logits for every slot, has those of a call after which the same `run` made another.
    """

    inputs: int
    choices: int
    logits: int
    kept: int
    host_inputs: npt.NDArray[np.uint8]
    host_choices: npt.NDArray[np.uint8]
    host_logits: npt.NDArray[np.uint8]
    kept_bytes: int

    @classmethod
    def allocate(cls, cuda: Cuda, need: Need, slots: int) -> Self:
        """Allocate what `need` says, with room to keep the logits of `slots` slots.

        Raises:
            EngineError: CUDA refuses.
        """
        return cls(
            inputs=cuda.allocate(need.inputs),
            choices=cuda.allocate(need.choices),
            logits=cuda.allocate(need.logits),
            kept=cuda.allocate(slots * need.kept),
            host_inputs=cuda.pin(need.inputs),
            host_choices=cuda.pin(need.choices),
            host_logits=cuda.pin(need.logits),
            kept_bytes=slots * need.kept,
        )
