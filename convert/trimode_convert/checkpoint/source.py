"""Source: what is read of a checkpoint, whatever its layout on disk. Knows no layout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from .config import ModelConfig
from .tensor_file import Tensor


def _itself(name: str) -> str:
    return name


@dataclass(frozen=True)
class Source:
    """A checkpoint as its layout was read.

    Attributes:
        name: the checkpoint's, unless the user gives another.
        folder: where the tokenizer's files are looked for.
        config: the dimensions.
        tensors: by their names in the official layout; one that the layout does not know keeps its own name.
        hashed: further files that decide the model.
        origin: what lists the tensors, for messages.
        spelled: from an official name to the one in the file.
        side_files: name -> bytes of the bundle's files that the source makes itself. If a tokenizer is among them, none
            is looked for in the folder.
        remarks: what a person should know of which files were taken, a sentence each.
    """

    name: str
    folder: Path
    config: ModelConfig
    tensors: dict[str, Tensor]
    hashed: tuple[Path, ...] = ()
    origin: str = "config.json"
    spelled: Callable[[str], str] = _itself
    side_files: dict[str, bytes] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
