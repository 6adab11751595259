"""The engines that are checked: torch with CUDA graphs, and this project's own on ONNX Runtime and on TensorRT.

Torch runs the reference's loops. The others need packages that a plain machine lacks, `Unavailable` says which; their
bundles are built in a temporary folder. All in float32.
"""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from trimode_train.evaluation import decode
from trimode_train.model import shards

from ..common.results import read
from ..peers.eager import read_adapter
from .model import Call, StaticModel
from .parity import Engine, Question

PROVIDERS = {"cuda": "CUDAExecutionProvider", "cpu": "CPUExecutionProvider"}


class Unavailable(Exception):
    """The engine cannot run here; the text says what is missing."""


class GraphModel:
    """Implements `decode.Decodes`: sessions, of which one lives at a time."""

    def __init__(self, checkpoint: Path, device: str, *, longest: int) -> None:
        """Read a checkpoint; `longest` is the most tokens a session holds, one block more than its answer."""
        self.config = read(checkpoint / "config.json")
        stored = shards.load(checkpoint)
        lora, scale = read_adapter(checkpoint / "linear_spec_lora")

        def placed(tensor: Tensor) -> Tensor:
            return tensor.to(device, torch.float32)

        lora = {name: placed(tensor) for name, tensor in lora.items()}
        self.longest, self.room = longest, 2 * longest  # a capture warms up behind what a session may hold
        self._model = StaticModel(
            self.config, lambda name: placed(stored[name]), longest=self.room, adapter=(lora, scale)
        )
        self._cache = self._model.cache(1, self.room)
        self._calls: dict[tuple[int, bool], Call] = {}

    def session(self, room: int) -> GraphSession:
        """Return an empty session; the one before it is over.

        Raises:
            ValueError: more room than was prepared for.
        """
        if room > self.longest:
            raise ValueError(f"room: expected at most {self.longest} tokens, got {room}")
        return GraphSession(self)

    def run(self, ids: Tensor, start: int, *, causal: bool, draft: bool, captured: bool) -> Tensor:
        """Run one row; return its logits  # (tokens, vocab) on the CPU."""
        key = (len(ids), captured)
        if key not in self._calls:
            call = Call(self._model, self._cache, len(ids), self.room)
            call.start.fill_(self.room - len(ids))
            if captured:
                call.capture()
            self._calls[key] = call
        call = self._calls[key]
        call.ids.copy_(ids[None])
        call.start.fill_(start)
        call.causal.fill_(causal)
        call.draft.fill_(draft)
        call.run()
        logits: Tensor = call.logits[0].cpu()
        return logits


class GraphSession:
    """The keys and values of the text so far; only causal chunks count."""

    def __init__(self, model: GraphModel) -> None:
        self._model = model
        self.length = 0

    def causal(self, ids: Tensor, *, last: bool = False) -> Tensor:
        """Append a chunk; row i of the logits predicts the token after it  # (length or 1, vocab)."""
        # a prompt's length hardly ever comes twice, so it is not worth a graph
        logits = self._model.run(ids, self.length, causal=True, draft=False, captured=self.length > 0)
        self.length += len(ids)
        return logits[-1:] if last else logits

    def block(self, ids: Tensor, *, draft: bool = False) -> Tensor:
        """See a block in both directions; row i predicts token i  # (length, vocab)."""
        return self._model.run(ids, self.length, causal=False, draft=draft, captured=True)

    def crop(self, length: int) -> None:
        """Forget what lies beyond `length` tokens."""
        self.length = length


class TorchEngine:
    """Implements `parity.Engine`."""

    def __init__(self, device: str) -> None:
        self.about = f"torch {torch.__version__}: static buffers, {'CUDA graphs' if device == 'cuda' else 'no graphs'}"
        self._device = device

    def load(self, checkpoint: Path, *, longest: int) -> TorchDecoder:
        """Return the checkpoint, ready to decode."""
        torch.set_float32_matmul_precision("highest")  # TF32 products are not float32
        return TorchDecoder(checkpoint, self._device, longest)


class TorchDecoder:
    """Implements `parity.Decoder`."""

    def __init__(self, checkpoint: Path, device: str, longest: int) -> None:
        self._model = GraphModel(checkpoint, device, longest=longest)

    def decode(self, asked: Question) -> list[int]:
        """Return the tokens of the answer."""
        loop = getattr(decode, asked.mode)
        knobs: dict[str, Any] = {}
        if asked.mode != "autoregressive":
            knobs = {"length": asked.block_length, "mask": self._model.config["mask_token_id"]}
        if asked.mode == "diffusion":
            knobs["threshold"] = asked.threshold
        answer: decode.Decoded = loop(self._model, asked.prompt, asked.max_tokens, eos=asked.eos, **knobs)
        return answer.ids[: asked.max_tokens]

    def close(self) -> None:
        """Give the memory back."""
        del self._model


class OnnxRuntimeOnDevice:
    """Implements `parity.Engine`: the runtime's ONNX Runtime engine on another execution provider."""

    def __init__(self, device: str) -> None:
        """Look for the provider.

        Raises:
            Unavailable: a package is missing, or this ONNX Runtime has no such provider.
        """
        ort = _imported("onnxruntime")
        _needs_the_runtime()
        self._provider = PROVIDERS[device]
        if self._provider not in ort.get_available_providers():
            raise Unavailable(f"onnxruntime {ort.__version__} has no {self._provider}")
        self.about = f"ONNX Runtime {ort.__version__}, {self._provider}, this project's engine and modes"

    def load(self, checkpoint: Path, *, longest: int) -> ProductDecoder:
        """Build the checkpoint's bundle and open it.

        Raises:
            Unavailable: the provider is listed but cannot be started here.
        """
        scratch = _built(checkpoint, longest, "--target", "onnxruntime", "--precision", "float32")
        ort, engines = _imported("onnxruntime"), _imported("trimode.engines.onnx.engine")
        manifest = _imported("trimode.bundle.manifest").Manifest.load(Path(scratch.name) / "bundle")
        options: dict[str, str] = {"use_tf32": "0"} if self._provider == PROVIDERS["cuda"] else {}
        session = ort.InferenceSession(
            str(Path(scratch.name) / "bundle" / "model.onnx"), providers=[(self._provider, options)]
        )
        if self._provider not in session.get_providers():  # ONNX Runtime goes over to the CPU in silence
            raise Unavailable(f"{self._provider} is listed but did not start; its libraries are missing or do not fit")
        engine = engines.OnnxRuntimeEngine(session, manifest, 1)
        config = _imported("trimode.config").ServerConfig(max_slots=1)
        runtime = _imported("trimode.runtime").Runtime(engine, None, config)
        return ProductDecoder(runtime, scratch)


class TensorRt:
    """Implements `parity.Engine`: plans compiled on this GPU, run by the runtime's TensorRT engine."""

    def __init__(self, device: str) -> None:
        """Look for TensorRT and for what runs its plans.

        Raises:
            Unavailable: no GPU, no TensorRT, or a package that this project's engine for its plans needs.
        """
        if device != "cuda":
            raise Unavailable("TensorRT runs on a GPU alone")
        trt = _imported("tensorrt")
        _needs_the_runtime()
        _imported("trimode.engines.tensorrt.engine")
        _imported(_imported("trimode.engines.tensorrt.cuda").BINDINGS)
        self.about = f"TensorRT {trt.__version__}, this project's engine and modes"

    def load(self, checkpoint: Path, *, longest: int) -> ProductDecoder:
        """Compile the checkpoint's plan on this GPU and open it."""
        options = ("--target", "tensorrt", "--precision", "float32", "--flavour", "tensorrt", "--batch", "1")
        scratch = _built(checkpoint, longest, *options)
        bundle = Path(scratch.name) / "bundle"
        config = _imported("trimode.config").ServerConfig(bundle=bundle, max_slots=1)
        return ProductDecoder(_imported("trimode.runtime").Runtime.open(config), scratch)


class ProductDecoder:
    """Implements `parity.Decoder` on a Runtime."""

    def __init__(self, runtime: Any, scratch: tempfile.TemporaryDirectory[str]) -> None:
        self._runtime, self._scratch = runtime, scratch

    def decode(self, asked: Question) -> list[int]:
        """Return the tokens of the answer, as the released loops give them."""
        given: dict[str, Any] = {
            "input_ids": asked.prompt,
            "mode": asked.mode,
            "max_tokens": asked.max_tokens,
            "end_id": asked.eos,
        }
        if asked.mode != "autoregressive":
            given |= {"block_length": asked.block_length, "threshold": asked.threshold}
        return list(self._runtime.generate(given, reference=True).token_ids)[: asked.max_tokens]

    def close(self) -> None:
        """End the runtime and delete the bundle."""
        self._runtime.close()
        self._scratch.cleanup()


ENGINES: dict[str, Callable[[str], Engine]] = {
    "torch": TorchEngine,
    "onnxruntime": OnnxRuntimeOnDevice,
    "tensorrt": TensorRt,
}
"""Engines by name, each made for a kind of device."""


def _imported(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except (ImportError, OSError) as exc:
        raise Unavailable(f"{name} cannot be imported: {exc}") from exc


def _needs_the_runtime() -> None:
    for name in ("trimode.runtime", "trimode_convert.cli"):
        _imported(name)


def _built(checkpoint: Path, longest: int, *options: str) -> tempfile.TemporaryDirectory[str]:
    """Return a new temporary folder with the checkpoint's `bundle` in it.

    Raises:
        RuntimeError: the converter failed; its words are on stderr.
    """
    scratch = tempfile.TemporaryDirectory(prefix="trimode-gpu-check-")
    out = Path(scratch.name) / "bundle"
    settings = _imported("trimode_convert.checkpoint.config").ModelConfig.load(checkpoint)
    capacity = min(settings.max_positions, -(-longest // 64) * 64)
    arguments = [str(checkpoint), "--out", str(out), "--capacity", str(capacity), *options]
    code = _imported("trimode_convert.cli").main(arguments)
    if code:
        scratch.cleanup()
        raise RuntimeError(f"the converter ended with status {code} on {checkpoint.name}; its words are above")
    return scratch
