"""The engine bundle on disk: its files and manifest.json, the one place that states facts about an engine.

The converter writes a Manifest, the runtime reads it; no other file repeats what it says.
Knows nothing of requests, sequences or graphs.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import BundleError
from .compilation import Compilation, Device
from .vision_facts import VisionFacts

FORMAT_VERSION = 2
"""The version of manifest.json's format. A bundle of another version must be built again."""
MANIFEST = "manifest.json"
DIGESTS = "digests.json"
GRAPH = "model.onnx"
WEIGHTS = "model.data"
PLAN = "model.plan"
TOWER_GRAPH = "vision.onnx"
TOWER_WEIGHTS = "vision.data"
TOWER_PLAN = "vision.plan"
TOKENIZER = "tokenizer.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
CHAT_TEMPLATE = "chat_template.jinja"
GENERATION_CONFIG = "generation_config.json"
EFFORT = "effort.json"
EXPECTED = "expected.json"
NESTED = ("compiled", "vision")
"""The keys that hold an object of their own, or null."""
CAUSAL_MODES = ("auto", "autoregressive")
"""The modes of a checkpoint that was trained to predict the next token and not to denoise."""
DRAFTING_MODES = (*CAUSAL_MODES, "self_speculation")
"""The modes of such a checkpoint with an adapter by which it drafts: all of them give its own text."""
ALL_MODES = (*CAUSAL_MODES, "diffusion", "self_speculation")
"""The modes of a checkpoint that was trained to denoise, too."""


@dataclass(frozen=True)
class Manifest:
    """The contents of a bundle, and what it was built from and for.

    Attributes:
        model: the checkpoint's name, as users say it.
        runtime: "onnxruntime", "tensorrt" or "torch"; `runtime_version` is the version the bundle was built for.
        kv_form: "delta" or "scatter", how a pass takes and returns keys and values.
        precision: "float32", "int8", ….
        compiled: what a TensorRT plan was compiled with and for; None where the graph itself is run.
        capacity: most tokens a sequence may hold, prompt, answer and one block together.
        buckets: ascending cache lengths, in tokens, that the engine runs with; the last equals `capacity`.
        block_size: the checkpoint's own block length, the default of requests.
        checkpoint_hash: sha256 over the checkpoint's config and tensor files.
        files: name -> size in bytes, of every file but the manifest.
        converter: digest of the converter's own code; a bundle that another converter wrote is built again.
        modes: what the checkpoint was trained for: ALL_MODES, DRAFTING_MODES or CAUSAL_MODES. Filling gaps and revising
            need diffusion.
        vision: the tower that encodes pictures; None where the checkpoint reads text alone.
    """

    model: str
    runtime: str
    runtime_version: str
    kv_form: str
    precision: str
    capacity: int
    buckets: tuple[int, ...]
    num_layers: int
    num_kv_heads: int
    head_dim: int
    hidden_size: int
    vocab_size: int
    block_size: int
    mask_token_id: int
    eos_token_id: int
    bos_token_id: int | None
    adapter: bool
    checkpoint_hash: str
    files: dict[str, int]
    compiled: Compilation | None = None
    converter: str = ""
    modes: tuple[str, ...] = ALL_MODES
    vision: VisionFacts | None = None
    format_version: int = FORMAT_VERSION

    @classmethod
    def load(cls, folder: Path) -> Manifest:
        """Read and check `folder`/manifest.json and the sizes of the files it names.

        Raises:
            BundleError: no manifest, unreadable, wrong version, unknown or missing keys, a file missing or cut.
        """
        raw = _read(folder)
        try:
            compiled = None if raw.get("compiled") is None else Compilation.parse(raw["compiled"])
            vision = None if raw.get("vision") is None else VisionFacts.parse(raw["vision"])
        except ValueError as exc:
            raise BundleError(f"{folder / MANIFEST}: {exc}. {rebuild_hint(folder)}") from exc
        raw = {name: value for name, value in raw.items() if name not in NESTED}
        _check_keys(folder, raw)
        lists: dict[str, Any] = {name: tuple(raw[name]) for name in ("buckets", "modes") if name in raw}
        manifest = cls(**{**raw, **lists, "compiled": compiled, "vision": vision})
        manifest._check(folder)
        return manifest

    @property
    def denoises(self) -> bool:
        """Whether the checkpoint was trained to denoise."""
        return self.modes == ALL_MODES

    def _check(self, folder: Path) -> None:
        """Check that modes, buckets, plan and the files in `folder` agree with each other.

        Raises:
            BundleError: names what does not agree.
        """
        path = folder / MANIFEST
        if self.modes not in (known := (ALL_MODES, DRAFTING_MODES, CAUSAL_MODES)):
            limit = f"must be {' or '.join(str(list(modes)) for modes in known)}"
            raise BundleError(f"{path}: modes {limit}, got {list(self.modes)}. {rebuild_hint(folder)}")
        ascending = all(a < b for a, b in itertools.pairwise(self.buckets))
        if not ascending or self.buckets[-1:] != (self.capacity,):
            raise BundleError(
                f"{path}: buckets must ascend to capacity {self.capacity}, got {list(self.buckets)}. "
                f"{rebuild_hint(folder)}"
            )
        if self.vision is not None and max(self.vision.ids) >= self.vocab_size:
            limit = f"must have ids below vocab_size {self.vocab_size}"
            raise BundleError(f"{path}: vision {limit}, got {max(self.vision.ids)}. {rebuild_hint(folder)}")
        if (PLAN in self.files) != (self.compiled is not None):
            state = "missing" if self.compiled is None else f"given, but files has no {PLAN}"
            raise BundleError(f"{path}: compiled: {state}. {rebuild_hint(folder, self)}")
        name = TOWER_GRAPH if self.compiled is None else TOWER_PLAN
        if self.runtime != "torch" and (name in self.files) != (self.vision is not None):
            state = f"missing, but files has {name}" if self.vision is None else f"given, but files has no {name}"
            raise BundleError(f"{path}: vision: {state}. {rebuild_hint(folder)}")
        if self.compiled is not None and bool(self.compiled.patches) != (self.vision is not None):
            state = "given without vision" if self.vision is None else f"empty, but files has {TOWER_PLAN}"
            raise BundleError(f"{path}: compiled.patches: {state}. {rebuild_hint(folder, self)}")
        for name, size in self.files.items():
            file = folder / name
            found = file.stat().st_size if file.is_file() else None
            if found != size:
                state = "is missing" if found is None else f"has {found} bytes, expected {size}"
                raise BundleError(f"{file} {state}. {rebuild_hint(folder, self)}")

    def check_runtime(self, folder: Path, *, runtime: str, kv_form: str) -> None:
        """Refuse a bundle that was built for another engine.

        Args:
            runtime: what the engine's bundles name; `kv_form` is the form of graph that it runs.

        Raises:
            BundleError: names both runtimes and forms, and how to rebuild.
        """
        if (self.runtime, self.kv_form) != (runtime, kv_form):
            found = f"{self.runtime} in {self.kv_form} form"
            raise BundleError(
                f"{folder} was built for {found}, not {runtime} in {kv_form} form. {rebuild_hint(folder)}"
            )

    def check_device(
        self, folder: Path, *, flavour: str, version: str, compute_capability: str, device: Device
    ) -> str | None:
        """Refuse a plan that this TensorRT or this GPU cannot run, before TensorRT refuses it in its own words.

        Return how the GPU differs from the one on which the plan's kernels were chosen; None if it does not.

        Args:
            flavour: "tensorrt" or "tensorrt_rtx"; `version` is that package's `__version__`.
            compute_capability: the GPU's, such as "8.9".
            device: the GPU, or the slice of one.

        Raises:
            BundleError: no plan, or one for something else; names the field, both values, and how to rebuild.
        """
        if self.compiled is None:
            raise BundleError(f"{folder} holds no {PLAN}. {rebuild_hint(folder, self)}")
        misfit = self.compiled.misfit(flavour, version, compute_capability)
        other = self.compiled.other_device(device)
        if misfit is None and self.compiled.too_small(device):
            misfit = f"device: {other}, a slice that is smaller"
        if misfit is not None:
            raise BundleError(f"{folder / PLAN}: {misfit}. {rebuild_hint(folder, self)}")
        return other

    def save(self, folder: Path) -> None:
        """Write manifest.json into `folder`."""
        text = json.dumps(dataclasses.asdict(self), indent=2) + "\n"
        (folder / MANIFEST).write_text(text, encoding="utf-8")


def _read(folder: Path) -> dict[str, Any]:
    """Return the object in `folder`/manifest.json, which this version can read.

    Raises:
        BundleError: the file is missing or unreadable, or has another version.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise BundleError(f"no engine bundle at {folder}: {MANIFEST} is missing. {rebuild_hint(folder)}")
    try:
        raw: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as exc:
        raise BundleError(f"{path} cannot be read: {exc}. {rebuild_hint(folder)}") from exc
    if not isinstance(raw, dict) or raw.get("format_version") != FORMAT_VERSION:
        found = raw.get("format_version") if isinstance(raw, dict) else None
        raise BundleError(
            f"{path} has format_version {found!r}, this version reads {FORMAT_VERSION}. {rebuild_hint(folder)}"
        )
    return raw


def _check_keys(folder: Path, raw: dict[str, Any]) -> None:
    """Check the keys of manifest.json without those of NESTED, and the kinds of their values.

    Raises:
        BundleError: names every unknown, missing or wrong key.
    """
    path = folder / MANIFEST
    hints = {name: kind for name, kind in typing.get_type_hints(Manifest).items() if name not in NESTED}
    required = {field.name for field in dataclasses.fields(Manifest) if field.default is dataclasses.MISSING}
    if unknown := sorted(set(raw) - set(hints)):
        raise BundleError(f"{path} has unknown keys {unknown}. {rebuild_hint(folder)}")
    if missing := sorted(required - set(raw)):
        raise BundleError(f"{path} lacks the keys {missing}. {rebuild_hint(folder)}")
    if wrong := {key: value for key, value in raw.items() if not _is_a(value, hints[key])}:
        raise BundleError(f"{path} has values of the wrong kind: {wrong}. {rebuild_hint(folder)}")


def _is_a(value: object, kind: Any) -> bool:
    """Whether JSON's `value` is of the annotated `kind`: str, int, bool, tuple, dict of int, or one of several."""
    if typing.get_origin(kind) is tuple:
        return isinstance(value, list) and all(_is_a(item, typing.get_args(kind)[0]) for item in value)
    if kind == dict[str, int]:
        return isinstance(value, dict) and all(_is_a(item, int) for item in value.values())
    kinds = typing.get_args(kind) or (kind,)
    return any(isinstance(value, one) and (one is bool or not isinstance(value, bool)) for one in kinds)


def rebuild_hint(folder: Path, manifest: Manifest | None = None) -> str:
    """Say how a bundle is made; for TensorRT, that it is compiled on the machine that runs it."""
    command = f"python -m trimode_convert CHECKPOINT --out {folder}"
    if manifest is not None and manifest.runtime == "torch":
        return f"Build it with: make build ENGINE=torch (or {command} --target torch --precision {manifest.precision})"
    if manifest is not None and manifest.runtime == "tensorrt":
        options = f"--target tensorrt --precision {manifest.precision} --capacity {manifest.capacity}"
        if manifest.compiled is not None:
            options += f" {manifest.compiled.options}"
        return f"Rebuild it on the machine that runs it: {command} {options}"
    return f"Build it with: make build (or {command})"
