"""The torch engine over a device and a network that compute nothing. Needs PyTorch, and no GPU.

The engine takes the device for a GPU: passes of the fixed list are captured. To launch one takes nothing here, nor do
the kernels of a pass outside the list, such as a prompt's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from trimode.bundle.manifest import Manifest
from trimode.engines.torch.device import Device
from trimode.engines.torch.engine import TorchEngine
from trimode.engines.torch.network import Choices, Inputs, Network, Shown

from .null_choices import NullChoices


class NullDevice(Device):
    """Memory that has a shape and no bytes, but for the buffers of inputs and choices."""

    def __init__(self, invented: NullChoices) -> None:
        self.device = torch.device("cpu")
        self.downloads = self.downloaded_bytes = self.waits = 0
        self._stream = self._pool = None
        self._invented = invented

    @property
    def on_gpu(self) -> bool:
        """Engines are to treat it as one."""
        return True

    def zeros(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Return bytes as they are, and numbers without memory."""
        return torch.zeros(shape, dtype=dtype, device="cpu" if dtype is torch.uint8 else "meta")

    def host_bytes(self, size: int) -> Tensor:
        """Return memory that is not page-locked."""
        return torch.zeros(size, dtype=torch.uint8)

    def fetch(self, values: Tensor) -> Any:
        """Refuse: what is measured looks at no logits."""
        raise RuntimeError(f"values of shape {tuple(values.shape)} were fetched, and there are none")

    def capture(self, enqueue: Callable[[], None]) -> Callable[[], None]:
        """Return what makes up the pass that was captured."""

        def launch() -> None:
            self._invented.launches += 1
            with self._invented.apart():
                enqueue()

        return launch


class NullNetwork(Network):
    """A pass that reads nothing but its inputs."""

    def __init__(self, invented: NullChoices) -> None:
        self.device, self.dtype = torch.device("meta"), torch.bfloat16
        self._invented = invented
        self._given: Inputs | None = None

    def forward(self, given: Inputs, cache: Tensor, length: int, logits: Tensor, shown: Shown | None = None) -> None:
        """Note the inputs."""
        self._given = given

    def choose(self, logits: Tensor, choices: Choices) -> None:
        """Make up the choices of the pass that was noted."""
        given = self._given
        assert given is not None
        with self._invented.apart():
            made = (one.view(given.rows.shape).numpy() for one in (choices.top_id, choices.top_prob))
            self._invented.write(given.ids.numpy(), given.rows.numpy(), *made)


def opened(manifest: Manifest, slots: int) -> tuple[TorchEngine, NullChoices]:
    """Return an engine that is ready, and what counts the time of its stand-ins."""
    torch.set_num_threads(1)
    invented = NullChoices()
    return TorchEngine(NullDevice(invented), NullNetwork(invented), manifest, slots), invented
