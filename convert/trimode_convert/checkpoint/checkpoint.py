"""A checkpoint from one of three sources: the official layout, the layout of the Llama family, or a GGUF file.

Knows which tensors the architecture has and their shapes, and one hash over all files; opens files and reads only their
headers. Does not know what a tensor is used for.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from trimode.errors import CheckpointError

from . import llama_layout, official_layout
from .adapter import FOLDER as ADAPTER_FOLDER
from .adapter import Adapter, adapter_shapes, embeds_mask
from .config import ARCHITECTURES, CONFIG, ModelConfig
from .keys import Keys
from .source import Source
from .tensor_file import Tensor, TensorFile

GGUF = ".gguf"
EMBEDDING = "encoder.embed_tokens.weight"
FINAL_NORM = "encoder.norm.weight"
HEAD = "diffusion_head.weight"
DRAFT_BLOCK = 16
"""Tokens of the longest draft that `auto` tries of a causal model with an adapter. Adapters are trained on shorter ones
(`drafts.lengths` of their recipe); auto learns which lengths pay."""
HASH_CHUNK = 4 << 20  # bytes read at once: large enough that the calls cost nothing, small enough for any memory


@dataclass(frozen=True)
class Checkpoint:
    """An open checkpoint: use it as a context manager, so that its files are closed.

    Tensors have the names of the official layout, whatever the source. `hashed` are files that decide the model and
    hold no tensors; `side_files` are files of the bundle that the source makes where `folder` does not have them;
    `remarks` say which weights were taken where there was a choice.
    """

    name: str
    folder: Path
    config: ModelConfig
    tensors: dict[str, Tensor]
    adapter: Adapter | None
    files: tuple[TensorFile, ...]
    hashed: tuple[Path, ...] = ()
    side_files: dict[str, bytes] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    @classmethod
    def open(cls, path: Path) -> Checkpoint:
        """Open a folder or a GGUF file and check every tensor's presence and shape.

        Raises:
            CheckpointError: a tensor is missing, unknown, cut short or has another shape, or the model is one that the
                graph is not; the text names file and tensor or key.
        """
        files: list[TensorFile] = []
        adapter: Adapter | None = None
        try:
            source = _read(path, files)
            _check(source)
            beside = source.folder / ADAPTER_FOLDER
            if beside.is_dir() and (source.config.denoises or embeds_mask(beside)):
                adapter = Adapter.open(beside, source.config)
                files.append(adapter.file)
        except CheckpointError:
            for file in files:
                file.close()
            raise
        hashed = (*source.hashed, *([adapter.config_path] if adapter else []))
        name, config, tensors, said = source.name, source.config, source.tensors, source.remarks
        if adapter is not None and not config.denoises:
            config = replace(config, block_size=DRAFT_BLOCK)
        if config.tied and HEAD in tensors:
            said = (*said, f"the head is the stored tensor {source.spelled(HEAD)}, though the model ties its head")
        return cls(name, source.folder, config, tensors, adapter, tuple(files), hashed, source.side_files, said)

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
        return cls("shapes", Path("no-folder"), config, tensors, adapter, ())

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
        return sorted([*self.hashed, *(file.path for file in self.files)])

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
    """Return the name and shape of every tensor of the architecture: 9 per layer, 3 more, and a tower's."""
    shapes: dict[str, tuple[int, ...]] = {
        EMBEDDING: (config.vocab_size, config.hidden_size),
        FINAL_NORM: (config.hidden_size,),
        HEAD: (config.vocab_size, config.hidden_size),
    }
    for index in range(config.num_layers):
        shapes |= {f"encoder.layers.{index}.{name}.weight": shape for name, shape in layer_shapes(config).items()}
    return shapes if config.vision is None else shapes | config.vision.shapes(config.hidden_size)


def is_checkpoint(path: Path) -> bool:
    """Tell whether there is something to open: a GGUF file, or a folder with a config.json or one GGUF file."""
    if path.is_dir():
        return (path / CONFIG).is_file() or len(list(path.glob(f"*{GGUF}"))) == 1
    return path.suffix == GGUF and path.is_file()


def _read(path: Path, files: list[TensorFile]) -> Source:
    """Read the source that is at `path`."""
    if path.is_dir() and not (path / CONFIG).is_file() and (found := sorted(path.glob(f"*{GGUF}"))):
        if len(found) > 1:
            raise CheckpointError(f"{path}: expected one *{GGUF} file, found {len(found)}; name the one that is meant")
        path = found[0]
    if path.suffix == GGUF and not path.is_dir():
        from .gguf_source import layout  # needs the package gguf, which the other sources do without

        return layout.read(path, files)
    if not path.is_dir():
        raise CheckpointError(f"{path}: no such checkpoint folder")
    keys = Keys.load(path / CONFIG)
    kind = keys.get("model_type")
    if kind in llama_layout.ARCHITECTURES:
        return llama_layout.read(path, keys, files)
    if kind not in ARCHITECTURES:
        raise keys.error("model_type", f"one of {', '.join([*ARCHITECTURES, *llama_layout.ARCHITECTURES])}", kind)
    return official_layout.read(path, files)


def _check(source: Source) -> None:
    """Check that the source has every tensor of the architecture, no other, each in its shape."""
    config, tensors, name_of = source.config, source.tensors, source.spelled
    expected = expected_shapes(config)
    if config.tied and HEAD not in tensors:
        del expected[HEAD]
    if missing := sorted(set(expected) - set(tensors)):
        wanted = list(expected[missing[0]])
        reason = " (tie_word_embeddings is false)" if missing[0] == HEAD else ""
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        text = f"tensor {name_of(missing[0])}: expected {wanted}{reason}, found none{more}"
        raise CheckpointError(f"{source.folder}: {text}")
    if unknown := sorted(set(tensors) - set(expected)):
        more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        text = f"tensor {name_of(unknown[0])}: unknown to {source.origin}{more}"
        raise CheckpointError(f"{tensors[unknown[0]].file.path}: {text}")
    for name, shape in expected.items():
        found = tensors[name]
        if found.shape != shape:
            raise CheckpointError(
                f"{found.file.path}: tensor {name_of(name)}: expected shape {list(shape)}, found {list(found.shape)}"
            )
