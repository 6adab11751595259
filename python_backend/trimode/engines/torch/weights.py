"""The checkpoint's tensors on a device: read in slices from the bundle's files, converted, and joined where one product
does the work of several.

Knows the container (values at an offset) and the names of tensors.json. Knows nothing of how they are used.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from ...bundle.manifest import Manifest, rebuild_hint
from ...bundle.tensor_index import (
    EMBEDDING,
    FINAL_NORM,
    HEAD,
    ITEM_BYTES,
    MASK_EMBEDDING,
    TOWER,
    StoredTensor,
    TensorIndex,
)
from ...errors import BundleError
from .products import Fp8Matrix, Matrix

SLICE_BYTES = 64 << 20
"""Bytes of a file in the host's memory at once: large enough for full speed, small beside any model."""
STORED = {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32}
"""torch's type of each of safetensors' names."""


@dataclass(frozen=True)
class Layer:
    """One layer's weights.

    Attributes:
        norm, mlp_norm: (hidden,).
        qkv: (query + 2 key widths, hidden), queries first.
        o: (hidden, query width).
        gate_up: (2 inner, hidden), gates first.
        down: (hidden, inner).
        adapter: A (rank, query width) and B (hidden, rank) of the draft adapter.
    """

    norm: Tensor
    qkv: Matrix
    o: Matrix
    mlp_norm: Tensor
    gate_up: Matrix
    down: Matrix
    adapter: tuple[Tensor, Tensor] | None


@dataclass(frozen=True)
class Weights:
    """All weights. embedding, head: (vocab, hidden), the same tensor where the checkpoint ties them.

    In fp8 the four products of each layer are, which hold nearly all of a large model's weights. Embedding, norms and
    the adapter stay in `dtype`, as they are small, and the head, whose rounding would go into the logits as it is.

    mask: (1, hidden), the embedding of masks while the draft adapter is on; None where they have no other.
    """

    embedding: Tensor
    head: Tensor
    final_norm: Tensor
    mask: Tensor | None
    layers: tuple[Layer, ...]

    @classmethod
    def load(
        cls,
        bundle: Path,
        manifest: Manifest,
        index: TensorIndex,
        device: torch.device,
        dtype: torch.dtype,
        *,
        fp8: bool = False,
    ) -> Self:
        """Read every tensor to `device` as `dtype`; with `fp8`, round the layers' matrices.

        Raises:
            BundleError: a file is missing or cut short, or a value is not finite in `dtype`.
        """
        with ExitStack() as opened:
            reader = _Reader(bundle, index, device, dtype)
            opened.callback(reader.close)
            embedding = reader.tensor(EMBEDDING)
            tied = index.tensors.get(HEAD) == index.tensors[EMBEDDING]
            layers = tuple(
                _layer(reader.tensor, number, adapter=manifest.adapter, fp8=fp8)
                for number in range(manifest.num_layers)
            )
            head = embedding if tied else reader.tensor(HEAD)
            mask = reader.tensor(MASK_EMBEDDING) if MASK_EMBEDDING in index.tensors else None
            return cls(embedding, head, reader.tensor(FINAL_NORM), mask, layers)


@dataclass(frozen=True)
class TowerWeights:
    """The tower's and the projector's weights in one type.

    Attributes:
        patches: (hidden, values of a patch). first_norm, projector_norm: (hidden,).
        merging: (hidden, patches of a cell x hidden). widening, last: (hidden of the language model, their inputs).
    """

    patches: Tensor
    first_norm: Tensor
    layers: tuple[Layer, ...]
    projector_norm: Tensor
    merging: Tensor
    widening: Tensor
    last: Tensor

    @classmethod
    def load(cls, bundle: Path, index: TensorIndex, layers: int, device: torch.device, dtype: torch.dtype) -> Self:
        """Read every tensor to `device` as `dtype`.

        Raises:
            BundleError: see Weights.load.
        """
        with ExitStack() as opened:
            reader = _Reader(bundle, index, device, dtype)
            opened.callback(reader.close)
            found = {name.removeprefix("vision."): reader.tensor(name) for name in TOWER}
            found["patches"] = found["patches"].flatten(1)
            read = tuple(
                _layer(reader.tensor, f"vision.{number}", adapter=False, fp8=False) for number in range(layers)
            )
            return cls(layers=read, **found)


def _layer(read: Callable[..., Tensor], place: int | str, *, adapter: bool, fp8: bool) -> Layer:
    def of(*names: str) -> Tensor:
        return read(*(f"{place}.{name}" for name in names))

    def matrix(*names: str) -> Matrix:
        return Fp8Matrix.of(of(*names)) if fp8 else of(*names)

    return Layer(
        norm=of("input_norm"),
        qkv=matrix("q", "k", "v"),
        o=matrix("o"),
        mlp_norm=of("post_norm"),
        gate_up=matrix("gate", "up"),
        down=matrix("down"),
        adapter=(of("lora_a"), of("lora_b")) if adapter else None,
    )


class _Reader:
    """Reads tensors from files that stay open until `close`."""

    def __init__(self, bundle: Path, index: TensorIndex, device: torch.device, dtype: torch.dtype) -> None:
        self._bundle, self._index, self._device, self._dtype = bundle, index, device, dtype
        self._open: dict[str, int] = {}

    def close(self) -> None:
        for descriptor in self._open.values():
            os.close(descriptor)
        self._open.clear()

    def tensor(self, *names: str) -> Tensor:
        """Return a tensor, or several one below the other  # (rows of all, width)."""
        try:
            parts = [self._index.tensors[name] for name in names]
        except KeyError as exc:
            raise BundleError(f"{self._bundle}: tensors.json lacks {exc}. {rebuild_hint(self._bundle)}") from exc
        rows = sum(part.shape[0] for part in parts)
        made = torch.empty((rows, *parts[0].shape[1:]), dtype=self._dtype, device=self._device)
        at = 0
        for name, part in zip(names, parts, strict=True):
            self._fill(made[at : at + part.shape[0]].view(-1), part, name)
            at += part.shape[0]
        return made

    def _fill(self, target: Tensor, part: StoredTensor, name: str) -> None:
        """Copy a stored tensor into `target` (values,), a slice of the file at a time."""
        item, count = ITEM_BYTES[part.dtype], math.prod(part.shape)
        step = SLICE_BYTES // item
        for first in range(0, count, step):
            values = min(step, count - first)
            raw = bytearray(values * item)
            self._read(part.file, raw, part.offset + first * item)
            target[first : first + values].copy_(torch.frombuffer(raw, dtype=STORED[part.dtype]))
        if not bool(torch.isfinite(target).all()):
            kind = str(self._dtype).removeprefix("torch.")
            raise BundleError(f"{self._bundle / part.file}: tensor {name} has values that are not finite in {kind}")

    def _read(self, name: str, into: bytearray, offset: int) -> None:
        path = self._bundle / name
        try:
            if name not in self._open:
                self._open[name] = os.open(path, os.O_RDONLY)
            view, got = memoryview(into), 0
            while got < len(into):  # Linux returns at most 2 GiB a call, and less when a signal arrives
                count = os.preadv(self._open[name], [view[got:]], offset + got)
                if not count:
                    raise BundleError(f"{path}: cut short: expected {len(into)} bytes at {offset}, found {got}")
                got += count
        except OSError as exc:
            raise BundleError(f"{path} cannot be read: {exc.strerror}") from exc
