"""Weights as .safetensors files in the official layout: one, or several of a limited size and their index.

Needs no package but torch, because the machine that trains may have no other. Knows nothing about models.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import torch
from torch import Tensor

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
STATE = "state.json"  # next to the weights of a run that will be continued: how far it was
LIMIT = 16 << 20  # bytes of one file, so that files stay small enough to be carried between machines
_HEADER_ROOM = 64 << 10  # bytes kept free for a file's header; one of a tensor is about 150 bytes
_DTYPES = {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


def _write(path: Path, tensors: dict[str, Tensor]) -> None:
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    begin = 0
    for name, tensor in tensors.items():
        end = begin + tensor.nbytes
        header[name] = {"dtype": _NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [begin, end]}
        begin = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for tensor in tensors.values():
            file.write(tensor.contiguous().flatten().view(torch.uint8).numpy().data)


def read(path: Path) -> dict[str, Tensor]:
    """Return every tensor of one file by name, in its own dtype, on the CPU."""
    data = bytearray(path.read_bytes())
    begin = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:begin])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        shape, dtype = entry["shape"], _DTYPES[entry["dtype"]]
        tensor = torch.frombuffer(data, dtype=dtype, count=math.prod(shape), offset=begin + entry["data_offsets"][0])
        tensors[name] = tensor.view(shape)
    return tensors


def _split(tensors: dict[str, Tensor], limit: int) -> list[dict[str, Tensor]]:
    """Split tensors, in their order, into parts of at most `limit` bytes; a larger tensor is a part of its own."""
    parts: list[dict[str, Tensor]] = [{}]
    size = 0
    for name, tensor in tensors.items():
        if parts[-1] and size + tensor.nbytes > limit:
            parts.append({})
            size = 0
        parts[-1][name] = tensor
        size += tensor.nbytes
    return parts


def save(weights: dict[str, Tensor], folder: Path, limit: int = LIMIT) -> list[str]:
    """Write weights as BF16 in files of at most `limit` bytes; returns the files' names.

    All files are written under other names before the first is renamed, so that a failure leaves the old weights whole.
    Files that do not belong to the new weights are removed at the end.
    """
    tensors = {name: weights[name].detach().to("cpu", torch.bfloat16) for name in sorted(weights)}
    parts = _split(tensors, limit - _HEADER_ROOM)
    single = len(parts) == 1
    names = [SINGLE] if single else [f"model-{k:05}-of-{len(parts):05}.safetensors" for k in range(1, len(parts) + 1)]
    for name, part in zip(names, parts, strict=True):
        _write(folder / f".{name}", part)
    if not single:
        index = {
            "metadata": {"total_size": sum(tensor.nbytes for tensor in tensors.values())},
            "weight_map": {tensor: name for name, part in zip(names, parts, strict=True) for tensor in part},
        }
        (folder / f".{INDEX}").write_text(json.dumps(index, indent=2) + "\n")
        names.append(INDEX)
    for name in names:
        os.replace(folder / f".{name}", folder / name)
    for file in folder.glob("model*.safetensors*"):
        if file.name not in names:
            file.unlink()
    return names


def load(folder: Path) -> dict[str, Tensor]:
    """Read the weights of a checkpoint folder, from any number of files."""
    if not (folder / INDEX).exists():
        return read(folder / SINGLE)
    files = json.loads((folder / INDEX).read_text())["weight_map"].values()
    return {name: tensor for file in sorted(set(files)) for name, tensor in read(folder / file).items()}
