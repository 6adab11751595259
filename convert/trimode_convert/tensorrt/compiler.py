"""TensorRT's compiler: an ONNX graph and its profiles in, a plan file out. The only file that imports TensorRT.

Works with `tensorrt` (11.x, compiles on the GPU that will run the plan) and `tensorrt_rtx` (compiles without a GPU)
through the API that they share. Always strongly typed: every precision is in the graph. Knows no bundle.
"""

from __future__ import annotations

import importlib
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trimode.bundle.compilation import FLAVOURS
from trimode.bundle.tensorrt_log import error_log
from trimode.errors import BundleError

PORTABLE = ("8.0", "8.6", "8.9", "12.0")  # compute capabilities that TensorRT-RTX compiles for if the user names none
INSTALL = "pip install -e '.[tensorrt-rtx]' in the repository, or NVIDIA's own tensorrt (11.x) for data-centre GPUs"
Ranges = Mapping[str, Sequence[Sequence[int]]]  # of a profile: each graph input's smallest, tuned and largest shape
Report = Callable[[str, int, int], None]  # called with (phase, steps done, steps in all)


@dataclass(frozen=True)
class Compiler:
    """An imported TensorRT. `module` is `tensorrt` or `tensorrt_rtx`; both have the names that are used here."""

    flavour: str
    version: str
    module: Any

    @classmethod
    def load(cls, flavour: str | None = None) -> Compiler:
        """Import the flavour asked for, or the first that is installed.

        Raises:
            BundleError: none is installed, or it cannot be loaded; the text says how to install one.
        """
        tried = FLAVOURS if flavour is None else (flavour,)
        reasons = []
        for name in tried:
            try:
                module = importlib.import_module(name)
            except (ImportError, OSError) as exc:
                reasons.append(f"{name}: {exc}")
                continue
            return cls(name, str(module.__version__), module)
        raise BundleError(f"flavour: expected an installed TensorRT, found {'; '.join(reasons)}. {INSTALL}")

    @property
    def times_kernels(self) -> bool:
        """Whether it times kernels on this machine's GPU and chooses the quickest; TensorRT-RTX chooses at run time."""
        return self.flavour == "tensorrt"

    def capabilities(self, asked: Sequence[str], local: str | None) -> tuple[str, ...]:
        """Return the compute capabilities that a plan is compiled for.

        Args:
            local: the compute capability of this machine's GPU, or None; `tensorrt` compiles for no other.

        Raises:
            BundleError: TensorRT-RTX does not know one of them, or `tensorrt` is asked for another than the local one.
        """
        if self.flavour == "tensorrt":
            if local is None:
                raise BundleError(
                    "compute capability: tensorrt compiles on the GPU that runs the plan, found no GPU here"
                )
            if asked and tuple(asked) != (local,):
                raise BundleError(
                    f"compute capability: tensorrt compiles for this machine's GPU, {local}, got {', '.join(asked)}"
                )
            return (local,)
        known = [f"{name[2:-1]}.{name[-1]}" for name in dir(self.module.ComputeCapability) if name.startswith("SM")]
        known.sort(key=lambda text: tuple(map(int, text.split("."))))
        for one in asked:
            if one not in known:
                hint = "; data-centre GPUs (9.0, 10.0) need the tensorrt flavour" if one in ("9.0", "10.0") else ""
                raise BundleError(
                    f"compute capability: {self.flavour} {self.version} compiles for {', '.join(known)}, "
                    f"got {one}{hint}"
                )
        return tuple(asked) or PORTABLE

    def compile(
        self,
        graph: Path,
        profiles: Sequence[Ranges],
        plan: Path,
        *,
        capabilities: Sequence[str] = (),
        timing_cache: Path | None = None,
        report: Report = lambda *_: None,
    ) -> CompileFacts:
        """Compile `graph`, whose weights lie next to it, into `plan`, which appears whole or not at all.

        Args:
            profiles: for each profile, each graph input's smallest, tuned and largest shape.
            capabilities: for TensorRT-RTX; none means its portable default.
            timing_cache: a file of kernel timings, read and written, so that the next build is shorter.
            report: called as phases proceed.

        Raises:
            BundleError: the parser, the checks of the network or the compiler refuses; the text quotes them.
        """
        started = time.monotonic()
        try:
            facts = self._compile(graph, profiles, plan, capabilities, timing_cache, report, fused=True)
        except _NoKernelError:
            facts = self._compile(graph, profiles, plan, capabilities, timing_cache, report, fused=False)
        return replace(facts, plan_bytes=plan.stat().st_size, seconds=time.monotonic() - started)

    def _compile(
        self,
        graph: Path,
        profiles: Sequence[Ranges],
        plan: Path,
        capabilities: Sequence[str],
        timing_cache: Path | None,
        report: Report,
        *,
        fused: bool,
    ) -> CompileFacts:
        """Compile with attention in dedicated kernels, or, if not `fused`, in any kernels."""
        trt, who = self.module, f"{graph}: {self.flavour} {self.version}"
        logger = error_log(trt)
        builder = trt.Builder(logger)
        network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
        parser = trt.OnnxParser(network, logger)
        if not parser.parse_from_file(str(graph)):
            errors = "; ".join(parser.get_error(index).desc() for index in range(parser.num_errors))
            raise BundleError(f"{who} cannot read the graph: {errors}")
        facts = _check_network(trt, network, graph, fused=fused)
        config = builder.create_builder_config()
        config.clear_flag(trt.BuilderFlag.TF32)  # on by default, and float32 would multiply with 10 bits of mantissa
        config.progress_monitor = _monitor(trt, report)
        for ranges in profiles:
            profile = builder.create_optimization_profile()
            for name, (least, tuned, most) in ranges.items():
                profile.set_shape(name, least, tuned, most)
            if config.add_optimization_profile(profile) < 0:  # otherwise TensorRT would leave it out silently
                raise BundleError(f"{who} refuses a profile: {logger.words()}")
        if self.flavour == "tensorrt_rtx" and capabilities:
            config.num_compute_capabilities = len(capabilities)
            for index, text in enumerate(capabilities):
                kind = getattr(trt.ComputeCapability, f"SM{text.replace('.', '')}")
                config.set_compute_capability(kind, index)
        cache = _timing_cache(config, timing_cache)
        partial = plan.with_name(f"{plan.name}.partial-{os.getpid()}")
        try:
            with partial.open("wb") as stream:
                done = builder.build_serialized_network_to_stream(network, config, _writer(trt, stream))
            if not done or not partial.stat().st_size:
                words = logger.words()
                kind_of = _NoKernelError if fused and "not supported by a dedicated kernel" in words else BundleError
                raise kind_of(f"{who} cannot compile: {words}")
            if timing_cache is not None and cache is not None:
                timing_cache.write_bytes(memoryview(cache.serialize()))
            partial.rename(plan)
        finally:
            partial.unlink(missing_ok=True)
        return facts


class _NoKernelError(BundleError):
    """TensorRT has no dedicated attention kernel for these shapes."""


@dataclass(frozen=True)
class CompileFacts:
    """The result of compiling: layers, cache updates and attentions of the parsed network, bytes of the plan, seconds.

    `fused` says that attention runs in dedicated kernels only. Without them TensorRT may decompose it, which is slower.
    float32 never has them; in TensorRT-RTX 1.7, 4, 8 and 32 query heads have them and 2 do not.
    """

    layers: int
    cache_updates: int
    attentions: int
    fused: bool
    plan_bytes: int = 0
    seconds: float = 0.0


def _check_network(trt: Any, network: Any, graph: Path, *, fused: bool) -> CompileFacts:
    """Count what the parser made of the graph, and refuse what it silently dropped.

    Raises:
        BundleError: an input nothing reads, a cache without its in-place update, or an attention without a mask.
    """
    kinds: Counter[str] = Counter()
    read: set[str] = set()
    unmasked = []
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        kinds[layer.type.name] += 1
        read |= {layer.get_input(at).name for at in range(layer.num_inputs) if layer.get_input(at) is not None}
        if layer.type == trt.LayerType.ATTENTION_INPUT:
            layer.__class__ = trt.IAttentionInputLayer
            if layer.attention.mask is None:
                unmasked.append(layer.name)
            else:
                read.add(layer.attention.mask.name)
            fused = fused and layer.get_input(0).dtype != trt.float32
            layer.attention.decomposable = not fused
    inputs = [network.get_input(index).name for index in range(network.num_inputs)]
    caches = sum(name.startswith("past_") for name in inputs)
    if dropped := sorted(set(inputs) - read):
        raise BundleError(f"{graph}: the parser dropped the inputs {dropped}: nothing would read them")
    if kinds["KV_CACHE_UPDATE"] != caches:
        raise BundleError(
            f"{graph}: expected {caches} in-place cache updates, the parser made {kinds['KV_CACHE_UPDATE']}"
        )
    if unmasked:
        raise BundleError(f"{graph}: the parser lost the mask of {unmasked[0]}")
    return CompileFacts(network.num_layers, kinds["KV_CACHE_UPDATE"], kinds["ATTENTION_INPUT"], fused)


def _writer(trt: Any, stream: Any) -> Any:
    class Writer(trt.IStreamWriter):  # type: ignore[misc]
        """Writes the plan to disk while it is made, so that it is never in memory twice."""

        def __init__(self) -> None:
            trt.IStreamWriter.__init__(self)

        def write(self, data: bytes) -> int:
            return int(stream.write(data))

    return Writer()


def _monitor(trt: Any, report: Report) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        """Reports the compiler's phases."""

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.totals: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self.totals[phase_name] = num_steps

        def phase_finish(self, phase_name: str) -> None:
            report(phase_name, self.totals.get(phase_name, 1), self.totals.get(phase_name, 1))

        def step_complete(self, phase_name: str, step: int) -> bool:
            report(phase_name, step, self.totals.get(phase_name, 1))
            return True

    return Monitor()


def _timing_cache(config: Any, path: Path | None) -> Any:
    if path is None:
        return None
    cache = config.create_timing_cache(path.read_bytes() if path.is_file() else b"")
    return cache if config.set_timing_cache(cache, ignore_mismatch=True) else None
