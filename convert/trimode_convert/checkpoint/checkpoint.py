"""A Hugging Face checkpoint folder: config.json, its tensor files, the draft adapter, and one hash over them.

Knows which tensors the architecture has and their shapes; opens files and reads only their headers.
Does not know what a tensor is used for.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from trimode.errors import CheckpointError

from .adapter import FOLDER as ADAPTER_FOLDER
from .adapter import Adapter, adapter_shapes
from .config import CONFIG, Keys, ModelConfig
from .tensor_file import Tensor, TensorFile

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
EMBEDDING = "encoder.embed_tokens.weight"
FINAL_NORM = "encoder.norm.weight"
HEAD = "diffusion_head.weight"
HASH_CHUNK = 4 << 20  # bytes read at once: large enough that the calls cost nothing, small enough for any memory


@dataclass(frozen=True)
class Checkpoint:
    """An open checkpoint: use it as a context manager, so that its files are closed."""

    folder: Path
    config: ModelConfig
    tensors: dict[str, Tensor]
    adapter: Adapter | None
    files: tuple[TensorFile, ...]

    @classmethod
    def open(cls, folder: Path) -> Checkpoint:
        """Open `folder` and check every tensor's presence and shape.

        Raises:
            CheckpointError: a tensor is missing, unknown, cut short or has another shape; the text names file and
                tensor.
        """
        if not folder.is_dir():
            raise CheckpointError(f"{folder}: no such checkpoint folder")
        config = ModelConfig.load(folder)
        files: list[TensorFile] = []
        adapter: Adapter | None = None
        try:
            tensors = _open_shards(folder, files)
            _check(folder, config, tensors)
            if (folder / ADAPTER_FOLDER).is_dir():
                adapter = Adapter.open(folder / ADAPTER_FOLDER, config)
                files.append(adapter.file)
        except CheckpointError:
            for file in files:
                file.close()
            raise
        return cls(folder, config, tensors, adapter, tuple(files))

    @classmethod
    def of_shapes(cls, config: ModelConfig, adapter_rank: int = 0) -> Checkpoint:
        """Return a checkpoint that has shapes but no files: enough to draw a graph, not to write its weights."""
        nowhere = TensorFile(Path("no-file"))
        adapter: Adapter | None = None
        if adapter_rank:
            adapter = Adapter(nowhere.path, nowhere, adapter_rank, scale=1.0)
            for name, shape in adapter_shapes(config, adapter_rank).items():
                nowhere.tensors[name] = Tensor(nowhere, name, "F32", shape, 0)
        tensors = {name: Tensor(nowhere, name, "BF16", shape, 0) for name, shape in expected_shapes(config).items()}
        return cls(Path("no-folder"), config, tensors, adapter, ())

    def __enter__(self) -> Checkpoint:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self.files:
            file.close()

    @property
    def head(self) -> Tensor:
        """The output head; the embedding itself where the checkpoint ties them and stores no head."""
        return self.tensors[HEAD] if HEAD in self.tensors else self.tensors[EMBEDDING]

    def layer(self, index: int, name: str) -> Tensor:
        """Return the weight `name` (such as "mlp.up_proj") of a layer."""
        return self.tensors[f"encoder.layers.{index}.{name}.weight"]

    @property
    def paths(self) -> list[Path]:
        """The files that decide the hash, sorted."""
        paths = [self.folder / CONFIG, *(file.path for file in self.files)]
        if self.adapter is not None:
            paths.append(self.adapter.config_path)
        return sorted(paths)

    def hash(self, advance: Callable[[int], None] = lambda _: None) -> str:
        """Return the sha256 over config, tensor files and adapter, their names, sizes and bytes.

        `advance` is called with the number of bytes of each piece that is read.
        """
        digest = hashlib.sha256()
        for path in self.paths:
            name = path.relative_to(self.folder).as_posix()
            try:
                digest.update(f"{name}\0{path.stat().st_size}\0".encode())
                with path.open("rb", buffering=0) as stream:
                    while chunk := stream.read(HASH_CHUNK):
                        digest.update(chunk)
                        advance(len(chunk))
            except OSError as exc:
                raise CheckpointError(f"{path}: cannot be read: {exc.strerror}") from exc
        return digest.hexdigest()

    @property
    def parameters(self) -> int:
        """The model's own parameters, adapter included."""
        tensors = [*self.tensors.values(), *(self.adapter.file.tensors.values() if self.adapter else ())]
        return sum(math.prod(tensor.shape) for tensor in tensors)

    def size(self) -> int:
        """Return the bytes of the tensor files, adapter included."""
        return sum(file.path.stat().st_size for file in self.files)


def layer_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Return the names and shapes of one layer's weights, [out, in] as stored."""
    hidden, inner = config.hidden_size, config.intermediate_size
    return {
        "input_layernorm": (hidden,),
        "self_attn.q_proj": (config.query_width, hidden),
        "self_attn.k_proj": (config.kv_width, hidden),
        "self_attn.v_proj": (config.kv_width, hidden),
        "self_attn.o_proj": (hidden, config.query_width),
        "post_attention_layernorm": (hidden,),
        "mlp.gate_proj": (inner, hidden),
        "mlp.up_proj": (inner, hidden),
        "mlp.down_proj": (hidden, inner),
    }


def expected_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Return the name and shape of every tensor of the architecture: 9 per layer and 3 more."""
    shapes: dict[str, tuple[int, ...]] = {
        EMBEDDING: (config.vocab_size, config.hidden_size),
        FINAL_NORM: (config.hidden_size,),
        HEAD: (config.vocab_size, config.hidden_size),
    }
    for index in range(config.num_layers):
        shapes |= {f"encoder.layers.{index}.{name}.weight": shape for name, shape in layer_shapes(config).items()}
    return shapes


def _check(folder: Path, config: ModelConfig, tensors: dict[str, Tensor]) -> None:
    expected = expected_shapes(config)
    if config.tied and HEAD not in tensors:
        del expected[HEAD]
    if missing := sorted(set(expected) - set(tensors)):
        wanted = list(expected[missing[0]])
        reason = " (tie_word_embeddings is false)" if missing[0] == HEAD else ""
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise CheckpointError(f"{folder}: tensor {missing[0]}: expected {wanted}{reason}, found none{more}")
    if unknown := sorted(set(tensors) - set(expected)):
        more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        raise CheckpointError(f"{tensors[unknown[0]].file.path}: tensor {unknown[0]}: unknown to {CONFIG}{more}")
    for name, shape in expected.items():
        found = tensors[name]
        if found.shape != shape:
            raise CheckpointError(
                f"{found.file.path}: tensor {name}: expected shape {list(shape)}, found {list(found.shape)}"
            )


def _open_shards(folder: Path, files: list[TensorFile]) -> dict[str, Tensor]:
    """Open the tensor files and return all tensors by name.

    Appends each file to `files` as soon as it is open, so that the caller can close those opened before an error.
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
