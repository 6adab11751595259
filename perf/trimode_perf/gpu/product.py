"""This project's own runtime on a GPU: ONNX Runtime's CUDA provider under its ONNX Runtime engine, and TensorRT plans.

Each needs packages that a plain machine lacks; `Unavailable` says which. Bundles are built anew in a temporary folder.
"""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .parity import Engine, Question

PROVIDERS = {"cuda": "CUDAExecutionProvider", "cpu": "CPUExecutionProvider"}


class Unavailable(Exception):
    """The engine cannot run here; the text says what is missing."""


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
        scratch = _build(checkpoint, longest, "--target", "onnxruntime", "--precision", "float32")
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
        scratch = _build(checkpoint, longest, *options)
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


ENGINES: dict[str, Callable[[str], Engine]] = {"onnxruntime": OnnxRuntimeOnDevice, "tensorrt": TensorRt}


def _imported(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except (ImportError, OSError) as exc:
        raise Unavailable(f"{name} cannot be imported: {exc}") from exc


def _needs_the_runtime() -> None:
    for name in ("trimode.runtime", "trimode_convert.cli"):
        _imported(name)


def _build(checkpoint: Path, longest: int, *options: str) -> tempfile.TemporaryDirectory[str]:
    """Convert into `bundle` in a new temporary folder.

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
