"""The engines that are checked: this project's own on torch, a plain torch model, ONNX Runtime and TensorRT.

The plain model runs the reference's loops. The others need packages that a plain machine lacks, `Unavailable` says
which; their bundles are built in a temporary folder. All in float32.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from trimode_train.evaluation import decode
from trimode_train.model import shards

from ..common.results import read
from ..peers.eager import read_adapter
from .model import Call, StaticModel
from .needs import Unavailable, imported
from .parity import Decode, Engine, Question

PROVIDERS = {"cuda": "CUDAExecutionProvider", "cpu": "CPUExecutionProvider"}
RUNTIME = ("trimode.runtime", "trimode_convert.cli")
"""What builds bundles and runs them."""


class GraphModel:
    """Implements `decode.Decodes`: sessions, of which one lives at a time."""

    def __init__(self, checkpoint: Path, device: str, *, longest: int) -> None:
        """Read a checkpoint; `longest` is the most tokens a session holds, one block more than its answer."""
        self.config, stored = read(checkpoint / "config.json"), shards.load(checkpoint)
        lora, scale = read_adapter(checkpoint / "linear_spec_lora")

        def placed(tensor: Tensor) -> Tensor:
            return tensor.to(device, torch.float32)

        adapter = ({name: placed(tensor) for name, tensor in lora.items()}, scale)
        self.longest, self.room = longest, 2 * longest  # a capture warms up behind what a session may hold
        self._model = StaticModel(self.config, lambda name: placed(stored[name]), longest=self.room, adapter=adapter)
        self._cache = self._model.cache(1, self.room)
        self._calls: dict[tuple[int, bool], Call] = {}

    def session(self, room: int) -> GraphSession:
        """Return an empty session; the one before it is over. Raises ValueError for more room than was prepared."""
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
        for buffer, value in ((call.start, start), (call.causal, causal), (call.draft, draft)):
            buffer.fill_(value)
        call.run()
        return call.logits[0].cpu()


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


def torch_engine(device: str) -> Engine:
    """Return the static model under the reference's loops."""

    @contextmanager
    def decoding(checkpoint: Path, longest: int) -> Iterator[Decode]:
        torch.set_float32_matmul_precision("highest")  # TF32 products are not float32
        yield partial(_torch_ids, GraphModel(checkpoint, device, longest=longest))

    graphs = "CUDA graphs" if device == "cuda" else "no graphs"
    return Engine(f"torch {torch.__version__}: static buffers, {graphs}", decoding, quadratic=False)


def _torch_ids(model: GraphModel, asked: Question) -> list[int]:
    knobs: dict[str, Any] = {}
    if asked.mode != "autoregressive":
        knobs = {"length": asked.block_length, "mask": model.config["mask_token_id"]}
    if asked.mode == "diffusion":
        knobs["threshold"] = asked.threshold
    loop = getattr(decode, asked.mode)
    answer: decode.Decoded = loop(model, asked.prompt, asked.max_tokens, eos=asked.eos, **knobs)
    return answer.ids[: asked.max_tokens]


def product_engine(device: str) -> Engine:
    """Return the runtime's torch engine, which reads the checkpoint as it is."""
    engine = imported("trimode.engines.torch.engine", "trimode.runtime", "trimode_convert.bundle.torch_bundle")

    @contextmanager
    def decoding(checkpoint: Path, longest: int) -> Iterator[Decode]:
        torch.set_float32_matmul_precision("highest")  # TF32 products are not float32
        with tempfile.TemporaryDirectory(prefix="trimode-gpu-check-") as scratch:
            bundle = Path(scratch) / "bundle"
            with imported("trimode_convert.checkpoint.checkpoint").Checkpoint.open(checkpoint) as opened:
                capacity = min(opened.config.max_positions, -(-longest // 64) * 64)
                linked = imported("trimode_convert.bundle.torch_bundle")
                linked.outline(opened, "float32", capacity=capacity).write(bundle)
            config = imported("trimode.config").ServerConfig(bundle=bundle, max_slots=2)
            with closing(imported("trimode.runtime").Runtime.open(config)) as runtime:
                if runtime.engine.device.device.type != device:
                    raise Unavailable(f"the engine took {runtime.engine.device.device}, not {device}")
                yield partial(_runtime_ids, runtime)

    return Engine(f"torch {torch.__version__}, this project's {engine.RUNTIME} engine and modes", decoding)


def onnxruntime_engine(device: str) -> Engine:
    """Return the runtime's ONNX Runtime engine on the device's execution provider."""
    ort, provider = imported("onnxruntime", *RUNTIME), PROVIDERS[device]
    if provider not in ort.get_available_providers():
        raise Unavailable(f"onnxruntime {ort.__version__} has no {provider}")

    @contextmanager
    def decoding(checkpoint: Path, longest: int) -> Iterator[Decode]:
        with built(checkpoint, longest, "--target", "onnxruntime", "--precision", "float32") as bundle:
            options = {"use_tf32": "0"} if device == "cuda" else {}
            session = ort.InferenceSession(str(bundle / "model.onnx"), providers=[(provider, options)])
            if provider not in session.get_providers():  # ONNX Runtime goes over to the CPU in silence
                raise Unavailable(f"{provider} is listed but did not start: its libraries are missing or unfit")
            manifest = imported("trimode.bundle.manifest").Manifest.load(bundle)
            engine = imported("trimode.engines.onnx.engine").OnnxRuntimeEngine(session, manifest, 1)
            config = imported("trimode.config").ServerConfig(max_slots=1)
            with closing(imported("trimode.runtime").Runtime(engine, None, config)) as runtime:
                yield partial(_runtime_ids, runtime)

    return Engine(f"ONNX Runtime {ort.__version__}, {provider}, this project's engine and modes", decoding)


def tensorrt_engine(device: str) -> Engine:
    """Return the runtime's TensorRT engine, its plans compiled on this GPU."""
    if device != "cuda":
        raise Unavailable("TensorRT runs on a GPU alone")
    trt = imported("tensorrt", *RUNTIME, "trimode.engines.tensorrt.engine")
    imported(imported("trimode.engines.tensorrt.cuda").BINDINGS)

    @contextmanager
    def decoding(checkpoint: Path, longest: int) -> Iterator[Decode]:
        options = ("--target", "tensorrt", "--precision", "float32", "--flavour", "tensorrt", "--batch", "1")
        with built(checkpoint, longest, *options) as bundle:
            config = imported("trimode.config").ServerConfig(bundle=bundle, max_slots=1)
            with closing(imported("trimode.runtime").Runtime.open(config)) as runtime:
                yield partial(_runtime_ids, runtime)

    return Engine(f"TensorRT {trt.__version__}, this project's engine and modes", decoding)


def _runtime_ids(runtime: Any, asked: Question) -> list[int]:
    """Return the tokens of the runtime's answer, as the released loops give them."""
    given = {"input_ids": asked.prompt, "mode": asked.mode, "max_tokens": asked.max_tokens, "end_id": asked.eos}
    if asked.mode != "autoregressive":
        given |= {"block_length": asked.block_length}
        given |= {"speculation": "quadratic"} if asked.quadratic else {"threshold": asked.threshold}
    return list(runtime.generate(given, reference=True).token_ids)[: asked.max_tokens]


ENGINES: dict[str, Callable[[str], Engine]] = {
    "product": product_engine,
    "torch": torch_engine,
    "onnxruntime": onnxruntime_engine,
    "tensorrt": tensorrt_engine,
}
"""What makes each engine for a kind of device; raises Unavailable where something is missing."""


@contextmanager
def built(checkpoint: Path, longest: int, *options: str) -> Iterator[Path]:
    """Give a new bundle of the checkpoint in a temporary folder; raises RuntimeError if the converter fails."""
    settings = imported("trimode_convert.checkpoint.config").ModelConfig.load(checkpoint)
    capacity = min(settings.max_positions, -(-longest // 64) * 64)
    with tempfile.TemporaryDirectory(prefix="trimode-gpu-check-") as scratch:
        bundle = Path(scratch) / "bundle"
        arguments = [str(checkpoint), "--out", str(bundle), "--capacity", str(capacity), *options]
        if code := imported("trimode_convert.cli").main(arguments):
            raise RuntimeError(f"the converter ended with status {code} on {checkpoint.name}; its words are above")
        yield bundle
