"""The tensor files of a Hugging Face folder: one, or several that an index names. Knows no architecture."""

from __future__ import annotations

from pathlib import Path

from trimode.errors import CheckpointError

from .keys import Keys
from .tensor_file import Tensor, TensorFile

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"


def open_shards(folder: Path, files: list[TensorFile]) -> dict[str, Tensor]:
    """Open the tensor files and return all tensors by name.

    Appends each file to `files` as soon as it is open, so that the caller can close those opened before an error. Where
    there are both an index and a single file, the index counts: see `remarks`.

    Raises:
        CheckpointError: a file is missing or broken, or the index and the files do not agree.
    """
    index_path = folder / INDEX
    if not index_path.is_file():
        files.append(TensorFile.open(folder / SINGLE))
        return dict(files[0].tensors)
    index = Keys.load(index_path)
    weight_map = index.get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(name, str) for name in weight_map.values()):
        raise index.error("weight_map", "an object of file names", weight_map)
    tensors: dict[str, Tensor] = {}
    for name in sorted(set(weight_map.values())):
        if Path(name).name != name:
            raise index.error("weight_map", "names of files in the same folder", name)
        files.append(TensorFile.open(folder / name))
        for tensor_name, tensor in files[-1].tensors.items():
            if weight_map.get(tensor_name) != name:
                raise CheckpointError(
                    f"{folder / name}: tensor {tensor_name}: expected in {weight_map.get(tensor_name)}, found here"
                )
            tensors[tensor_name] = tensor
    if absent := sorted(set(weight_map) - set(tensors)):
        raise CheckpointError(f"{folder / weight_map[absent[0]]}: tensor {absent[0]}: named by {INDEX}, found none")
    return tensors


def remarks(folder: Path) -> tuple[str, ...]:
    """Return what a person should know of the choice of files: a single file beside an index that does not name it."""
    both = (folder / INDEX).is_file() and (folder / SINGLE).is_file()
    if not both or SINGLE in Keys.load(folder / INDEX).values["weight_map"].values():
        return ()
    return (f"taken from the files that {INDEX} names; {SINGLE} beside it was not read",)
