"""A TensorRT bundle from a planned graph: export, compile, put together; each part is kept until all are done.

The parts lie in `<out>.work` beside the bundle: the exported graph (larger than the plan it becomes) and the plan. A
build that was cut off goes on after the last finished part. Knows no detail of export or compiler.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from trimode.bundle.compilation import Compilation
from trimode.bundle.manifest import GRAPH, PLAN, WEIGHTS, Manifest
from trimode.errors import BundleError

from ..atomic_folder import HEADROOM, check_place, replacing
from ..checkpoint.config import ModelConfig
from ..graph.precisions import TENSORRT
from ..tensorrt.compiler import Compiler, Report
from ..tensorrt.footprint import GPUS, BuildCost, Footprint, Gpu, build_cost, check_build, check_gpu, footprint
from ..tensorrt.local_gpu import local_gpu
from ..tensorrt.profiles import Shapes, input_ranges
from .onnx_bundle import Advance, Plan, is_up_to_date, write_bundle

EXPORTED = "graph"
COMPILED = "plan.json"
Say = Callable[[str], None]


@dataclass(frozen=True)
class Engine:
    """One TensorRT build: what is compiled, by which compiler, for which devices and shapes."""

    plan: Plan
    config: ModelConfig
    shapes: Shapes
    compiler: Compiler
    capabilities: tuple[str, ...]

    @classmethod
    def design(
        cls,
        plan: Plan,
        config: ModelConfig,
        *,
        batch: int | None = None,
        chunk: int | None = None,
        flavour: str | None = None,
        capabilities: Sequence[str] = (),
        gpu: str | None = None,
    ) -> Engine:
        """Choose compiler, devices and shapes, and refuse what cannot work, before anything is written.

        Args:
            gpu: a name of `planner.GPUS`; its compute capability and memory are taken.

        Raises:
            BundleError: no compiler, a device it does not compile for or that lacks the precision's arithmetic, or a
                GPU with too little memory.
            CheckpointError: a batch or chunk out of range.
        """
        manifest = plan.manifest
        shapes = Shapes.of(config, manifest.capacity, batch, chunk)
        compiler = Compiler.load(flavour)
        here, device = local_gpu(), _device(gpu)
        asked = capabilities or ((device.compute_capability,) if device is not None else ())
        chosen = compiler.capabilities(asked, None if here is None else here.compute_capability)
        least = TENSORRT.precision(manifest.precision).compute_capability
        able = tuple(one for one in chosen if _version(one) >= _version(least))
        if not able or (asked and able != chosen):
            raise BundleError(
                f"precision: {manifest.precision} needs compute capability {least} or more, got {', '.join(chosen)}"
            )
        engine = cls(plan, config, shapes, compiler, able)
        if (target := device or here) is not None:
            check_gpu(engine.footprint, gpu or "this GPU", target.memory)
        return engine

    @property
    def footprint(self) -> Footprint:
        """What the engine takes on its GPU."""
        weights = self.plan.manifest.files[WEIGHTS]
        return footprint(self.config, self.plan.manifest.precision, self.shapes, weights=weights)

    @property
    def manifest(self) -> Manifest:
        """The finished bundle's manifest, but for the plan's size, which is known when it is there."""
        compiled = Compilation(self.compiler.flavour, self.compiler.version, self.capabilities, self.shapes.profiles())
        files = {name: size for name, size in self.plan.manifest.files.items() if name not in (GRAPH, WEIGHTS)}
        return dataclasses.replace(
            self.plan.manifest, runtime_version=self.compiler.version, compiled=compiled, files=files
        )

    def cost(self, checkpoint_bytes: int, out: Path) -> BuildCost:
        """Return what the rest of the build takes, given the parts that are there."""
        if self._is_compiled(work_folder(out)):
            return BuildCost(disk=HEADROOM, memory=0, seconds=0.0)
        weights = self.plan.manifest.files[WEIGHTS]
        done = weights if is_up_to_date(self.plan, work_folder(out) / EXPORTED) else 0
        return build_cost(checkpoint_bytes, weights, self.plan.manifest.precision, done=done)

    def is_up_to_date(self, out: Path) -> bool:
        """Tell whether the bundle at `out` is what this build would make; plans of one graph may differ in bytes."""
        try:
            found = Manifest.load(out)
            files = {name: size for name, size in found.files.items() if name != PLAN}
            return dataclasses.replace(found, files=files) == self.manifest and all(
                (out / name).read_bytes() == content for name, content in self.plan.side_files.items()
            )
        except (BundleError, OSError):
            return False

    def build(
        self,
        out: Path,
        *,
        checkpoint_bytes: int = 0,
        advance: Advance = lambda _: None,
        report: Report = lambda *_: None,
        check_export: Callable[[Path], None] = lambda _: None,
    ) -> bool:
        """Make the bundle at `out`, whole or not at all; finished parts of an earlier try are taken over.

        Returns whether attention has dedicated kernels (`tensorrt_build.CompileFacts.fused`).

        Args:
            check_export: called with the folder of the exported graph before it is compiled.

        Raises:
            BundleError: too little disk or memory, or the compiler refuses; the parts stay in `<out>.work`.
        """
        check_place(out)
        check_build(self.cost(checkpoint_bytes, out), out)
        work = work_folder(out)
        work.mkdir(parents=True, exist_ok=True)
        if not self._is_compiled(work):
            exported = work / EXPORTED
            if not is_up_to_date(self.plan, exported):
                write_bundle(self.plan, exported, advance)
            check_export(exported)
            manifest, shapes = self.plan.manifest, self.shapes
            ranges = [
                input_ranges(profile, self.config, manifest.capacity, adapter=manifest.adapter)
                for profile in shapes.profiles()
            ]
            facts = self.compiler.compile(
                exported / GRAPH,
                ranges,
                work / PLAN,
                capabilities=self.capabilities,
                timing_cache=self._timing_cache(out),
                report=report,
            )
            state = {"key": self._key(), "bytes": facts.plan_bytes, "fused": facts.fused}
            (work / COMPILED).write_text(json.dumps(state))
        fused = bool(json.loads((work / COMPILED).read_text())["fused"])
        self._put_together(work, out)
        shutil.rmtree(work)
        return fused

    def _put_together(self, work: Path, out: Path) -> None:
        size = (work / PLAN).stat().st_size
        with replacing(out) as folder:
            try:
                os.link(work / PLAN, folder / PLAN)
            except OSError:  # a file system without links: the part is given up for the bundle
                shutil.move(work / PLAN, folder / PLAN)
            for name, content in self.plan.side_files.items():
                (folder / name).write_bytes(content)
            manifest = self.manifest
            dataclasses.replace(manifest, files={PLAN: size, **manifest.files}).save(folder)

    def _timing_cache(self, out: Path) -> Path | None:
        """Where timings of kernels are kept for all builds beside this one; TensorRT-RTX takes none."""
        if self.compiler.flavour != "tensorrt":
            return None
        return out.with_name(f"timing-{self.compiler.version}-{'-'.join(self.capabilities)}.cache")

    def _is_compiled(self, work: Path) -> bool:
        try:
            state = json.loads((work / COMPILED).read_text())
            return bool(state["key"] == self._key() and state["bytes"] == (work / PLAN).stat().st_size)
        except (OSError, ValueError, TypeError, KeyError):
            return False

    def _key(self) -> str:
        """A digest of everything that decides the plan."""
        facts = [dataclasses.asdict(self.plan.manifest), dataclasses.asdict(self.manifest)]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def work_folder(out: Path) -> Path:
    """Return where the parts of a build lie until it is done."""
    return out.with_name(f"{out.name}.work")


def _device(gpu: str | None) -> Gpu | None:
    if gpu is None:
        return None
    if gpu not in GPUS:
        raise BundleError(f"gpu: expected one of {', '.join(GPUS)}, got {gpu!r}")
    return GPUS[gpu]


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))
