"""The layout of the released Nemotron-Labs-Diffusion checkpoints: config.json and tensors under their own names."""

from __future__ import annotations

from pathlib import Path

from .config import CONFIG, ModelConfig
from .shards import open_shards, remarks
from .source import Source
from .tensor_file import TensorFile


def read(folder: Path, files: list[TensorFile]) -> Source:
    """Read a folder in the official layout; opened files are appended to `files`, also before an error.

    Raises:
        CheckpointError: config.json or a tensor file is missing, broken or of another model.
    """
    config = ModelConfig.load(folder)
    tensors = open_shards(folder, files)
    hashed = (folder / CONFIG,)
    return Source(folder.resolve().name, folder, config, tensors, hashed=hashed, remarks=remarks(folder))
