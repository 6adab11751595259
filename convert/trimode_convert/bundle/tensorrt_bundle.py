"""A bundle of a TensorRT plan: exports a draft's graph, compiles it, puts the bundle together.

Finished parts (the exported graph, then the plan) are kept in `<out>.work` next to the bundle until all are done, so an
interrupted build continues after the last finished part. Does not know how a graph is exported or compiled.
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

from trimode.bundle import digests
from trimode.bundle.compilation import Compilation, Device
from trimode.bundle.manifest import GRAPH, PLAN, WEIGHTS, Manifest
from trimode.errors import BundleError

from ..atomic_folder import HEADROOM, check_place, replacing
from ..checkpoint.config import ModelConfig
from ..graph.precisions import TENSORRT
from ..tensorrt.compiler import Compiler, Report
from ..tensorrt.footprint import GPUS, BuildCost, Footprint, Gpu, build_cost, check_build, check_gpu, footprint
from ..tensorrt.local_gpu import local_gpu
from ..tensorrt.profiles import Shapes, input_ranges
from .onnx_bundle import Advance, BundleDraft, is_up_to_date, write_bundle

EXPORTED = "graph"  # in the work folder: the folder of the exported graph
COMPILED = "plan.json"  # in the work folder: what the plan next to it was compiled from


@dataclass(frozen=True)
class TensorRtBuild:
    """One build: which draft is compiled, by which compiler, for which devices and shapes."""

    draft: BundleDraft
    config: ModelConfig
    shapes: Shapes
    compiler: Compiler
    capabilities: tuple[str, ...]
    here: Device | None = None
    """The GPU of this machine, if CUDA knows one."""

    @classmethod
    def design(
        cls,
        draft: BundleDraft,
        config: ModelConfig,
        shapes: Shapes,
        *,
        flavour: str | None = None,
        capabilities: Sequence[str] = (),
        gpu: str | None = None,
    ) -> TensorRtBuild:
        """Choose compiler and devices for these shapes. Refuses what cannot work before anything is written.

        Args:
            gpu: a key of `footprint.GPUS`, whose compute capability and memory are used.

        Raises:
            BundleError: the model reads pictures, no compiler, a device that it does not compile for or that lacks the
                precision's arithmetic, or a GPU with too little memory.
        """
        manifest = draft.manifest
        if manifest.vision is not None:
            others = "build it for onnxruntime or torch, or check the graphs with --graph-only"
            raise BundleError(f"pictures: no plan is compiled yet for a model that reads them: {others}")
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
        build = cls(draft, config, shapes, compiler, able, None if here is None else here.device)
        if (target := device or here) is not None:
            check_gpu(build.footprint, gpu or "this GPU", target.memory)
        return build

    @property
    def footprint(self) -> Footprint:
        """The memory that the plan needs on its GPU."""
        weights = self.draft.manifest.files[WEIGHTS]
        return footprint(self.config, self.draft.manifest.precision, self.shapes, weights=weights)

    @property
    def manifest(self) -> Manifest:
        """The finished bundle's manifest without the plan's size, which is known only after compiling."""
        compiler, chosen_on = self.compiler, self.here if self.compiler.times_kernels else None
        profiles = self.shapes.profiles()
        compiled = Compilation(compiler.flavour, compiler.version, self.capabilities, profiles, chosen_on)
        files = {name: size for name, size in self.draft.manifest.files.items() if name not in (GRAPH, WEIGHTS)}
        return dataclasses.replace(
            self.draft.manifest, runtime_version=compiler.version, compiled=compiled, files=files
        )

    def cost(self, checkpoint_bytes: int, out: Path) -> BuildCost:
        """Return what the rest of the build needs; finished parts in the work folder cost nothing."""
        if self._is_compiled(work_folder(out)):
            return BuildCost(disk=HEADROOM, memory=0, seconds=0.0)
        weights = self.draft.manifest.files[WEIGHTS]
        done = weights if is_up_to_date(self.draft, work_folder(out) / EXPORTED) else 0
        return build_cost(checkpoint_bytes, weights, self.draft.manifest.precision, done=done)

    def is_up_to_date(self, out: Path) -> bool:
        """Tell whether the bundle at `out` is what this build would make.

        The plan itself is not compared: two compilations of one graph may differ in bytes.
        """
        try:
            found = Manifest.load(out)
            files = {name: size for name, size in found.files.items() if name != PLAN}
            same = dataclasses.replace(found, files=files) == self.manifest and all(
                (out / name).read_bytes() == content for name, content in self.draft.side_files.items()
            )
            return same and bool(digests.check(out, found))  # which refuses one that is damaged
        except (BundleError, OSError):
            return False

    def run(
        self,
        out: Path,
        *,
        checkpoint_bytes: int = 0,
        advance: Advance = lambda _: None,
        report: Report = lambda *_: None,
        check_export: Callable[[Path], None] = lambda _: None,
    ) -> bool:
        """Make the bundle at `out`, whole or not at all; reuses the finished parts of an earlier, interrupted build.

        Returns whether attention has dedicated kernels (`compiler.CompileFacts.fused`).

        Args:
            check_export: called with the folder of the exported graph before it is compiled.

        Raises:
            BundleError: too little disk or memory, or the compiler refuses. The finished parts stay in `<out>.work`.
        """
        check_place(out)
        check_build(self.cost(checkpoint_bytes, out), out)
        work = work_folder(out)
        work.mkdir(parents=True, exist_ok=True)
        if not self._is_compiled(work):
            exported = work / EXPORTED
            if not is_up_to_date(self.draft, exported):
                write_bundle(self.draft, exported, advance)
            check_export(exported)
            manifest, shapes = self.draft.manifest, self.shapes
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
            except OSError:  # a file system without links: the work folder loses its plan
                shutil.move(work / PLAN, folder / PLAN)
            for name, content in self.draft.side_files.items():
                (folder / name).write_bytes(content)
            manifest = self.manifest
            dataclasses.replace(manifest, files={PLAN: size, **manifest.files}).save(folder)
            digests.write(folder)

    def _timing_cache(self, out: Path) -> Path | None:
        """The file of kernel timings, shared by all builds in the same folder; TensorRT-RTX takes none."""
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
        facts = [dataclasses.asdict(self.draft.manifest), dataclasses.asdict(self.manifest)]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def work_folder(out: Path) -> Path:
    """Return the folder that keeps the finished parts of a build until all are done."""
    return out.with_name(f"{out.name}.work")


def _device(gpu: str | None) -> Gpu | None:
    if gpu is None:
        return None
    if gpu not in GPUS:
        raise BundleError(f"gpu: expected one of {', '.join(GPUS)}, got {gpu!r}")
    return GPUS[gpu]


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))
