"""Which of the model's instances this process is, and where Triton placed it. Knows nothing of engines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Instance:
    """One instance of the model: `name` is Triton's, `gpu` the index of the GPU it was placed on, or None."""

    name: str
    gpu: int | None

    @classmethod
    def of(cls, args: Mapping[str, str]) -> Instance:
        """Read `initialize`'s arguments: model_instance_name, model_instance_kind, model_instance_device_id."""
        on_gpu = args["model_instance_kind"].removeprefix("KIND_") == "GPU"
        return cls(args["model_instance_name"], int(args["model_instance_device_id"]) if on_gpu else None)
