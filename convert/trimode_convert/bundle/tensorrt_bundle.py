"""A bundle of TensorRT plans: exports a draft's graphs, compiles them, puts the bundle together.

A checkpoint that reads pictures has two: the tower's is a plan of its own. Finished parts (the exported graphs, then
each plan) are kept in `<out>.work` next to the bundle until all are done, so an interrupted build continues after the
last finished part. Does not know how a graph is exported or compiled.
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
from trimode.bundle.manifest import (
    EXPECTED,
    GRAPH,
    PLAN,
    TOWER_GRAPH,
    TOWER_PLAN,
    TOWER_WEIGHTS,
    WEIGHTS,
    Manifest,
)
from trimode.errors import BundleError

from ..atomic_folder import HEADROOM, check_place, replacing
from ..checkpoint.config import ModelConfig
from ..graph.precisions import TENSORRT
from ..tensorrt.compiler import Compiler, Ranges, Report
from ..tensorrt.footprint import GPUS, BuildCost, Footprint, Gpu, build_cost, check_build, check_gpu, footprint
from ..tensorrt.local_gpu import local_gpu
from ..tensorrt.profiles import Shapes, input_ranges, tower_patches, tower_ranges
from .onnx_bundle import Advance, BundleDraft, is_up_to_date, write_bundle

EXPORTED = "graph"  # in the work folder: the folder of the exported graph
COMPILED = "plans.json"  # in the work folder: what the plans next to it were compiled from
PLANS = {PLAN: GRAPH, TOWER_PLAN: TOWER_GRAPH}  # the file of each plan, and that of its graph
EXPORTED_FILES = {GRAPH, WEIGHTS, TOWER_GRAPH, TOWER_WEIGHTS}  # which a bundle of plans does not have


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
            BundleError: no compiler, a device that it does not compile for or that lacks the precision's arithmetic, or
                a GPU with too little memory.
        """
        manifest = draft.manifest
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
        """The memory that the plans need on their GPU."""
        files = self.draft.manifest.files
        weights, tower = files[WEIGHTS], files.get(TOWER_WEIGHTS)
        precision = self.draft.manifest.precision
        return footprint(self.config, precision, self.shapes, weights=weights, tower_weights=tower)

    @property
    def profiles(self) -> dict[str, list[Ranges]]:
        """For each plan's file the shapes of its profiles, in the order in which they are compiled."""
        config, manifest = self.config, self.draft.manifest
        own: list[Ranges] = [
            input_ranges(one, config, manifest.capacity, adapter=manifest.adapter) for one in self.shapes.profiles()
        ]
        if config.vision is None:
            return {PLAN: own}
        return {PLAN: own, TOWER_PLAN: [tower_ranges(one, config.vision) for one in tower_patches(config.vision)]}

    @property
    def manifest(self) -> Manifest:
        """The finished bundle's manifest without the plans' sizes, which are known only after compiling."""
        compiler, chosen_on = self.compiler, self.here if self.compiler.times_kernels else None
        profiles, vision = self.shapes.profiles(), self.config.vision
        patches = () if vision is None else tower_patches(vision)
        compiled = Compilation(compiler.flavour, compiler.version, self.capabilities, profiles, chosen_on, patches)
        files = {name: size for name, size in self.draft.manifest.files.items() if name not in EXPORTED_FILES}
        return dataclasses.replace(
            self.draft.manifest, runtime_version=compiler.version, compiled=compiled, files=files
        )

    def cost(self, checkpoint_bytes: int, out: Path) -> BuildCost:
        """Return what the rest of the build needs; finished parts in the work folder cost nothing."""
        if self.profiles.keys() == self._compiled(work_folder(out)).keys():
            return BuildCost(disk=HEADROOM, memory=0, seconds=0.0)
        sizes = [drawn.weights.total_bytes for drawn in self.draft.blueprints.values()]
        done = sum(sizes) if is_up_to_date(self.draft, work_folder(out) / EXPORTED) else 0
        precision = self.draft.manifest.precision
        return build_cost(checkpoint_bytes, sum(sizes), precision, done=done, largest=max(sizes))

    def is_up_to_date(self, out: Path) -> bool:
        """Tell whether the bundle at `out` is what this build would make.

        The plans themselves are not compared, as two compilations of one graph may differ in bytes, nor are the rows
        that they are expected to give, which follow from the checkpoint and the converter.
        """
        try:
            found = Manifest.load(out)
            files = {name: size for name, size in found.files.items() if name not in (*PLANS, EXPECTED)}
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
        expect: Callable[[], bytes] | None = None,
    ) -> bool:
        """Make the bundle at `out`, whole or not at all; reuses the finished parts of an earlier, interrupted build.

        Returns whether attention has dedicated kernels (`compiler.CompileFacts.fused`).

        Args:
            check_export: called with the folder of the exported graphs before they are compiled.
            expect: computes the rows that the engine is expected to give; without it the bundle has none.

        Raises:
            BundleError: too little disk or memory, or the compiler refuses. The finished parts stay in `<out>.work`.
        """
        check_place(out)
        check_build(self.cost(checkpoint_bytes, out), out)
        work = work_folder(out)
        work.mkdir(parents=True, exist_ok=True)
        compiled = self._compiled(work)
        if not compiled:
            (work / EXPECTED).unlink(missing_ok=True)  # of another build
        if self.profiles.keys() != compiled.keys():
            exported = work / EXPORTED
            if not is_up_to_date(self.draft, exported):
                write_bundle(self.draft, exported, advance)
            check_export(exported)
            self._compile(exported, work, self._timing_cache(out), report)
        if expect is not None and not (work / EXPECTED).is_file():
            (half := work / f"{EXPECTED}.half").write_bytes(expect())
            half.replace(work / EXPECTED)  # whole or not there, as the next run takes it up
        fused = all(self._compiled(work).values())
        self._put_together(work, out)
        shutil.rmtree(work)
        return fused

    def _compile(self, exported: Path, work: Path, timing_cache: Path | None, report: Report) -> None:
        """Make the plans that are not in the work folder yet, and note after each what it was compiled from."""
        done: dict[str, dict[str, int]] = {
            name: {"bytes": (work / name).stat().st_size, "fused": fused}
            for name, fused in self._compiled(work).items()
        }
        for name, ranges in self.profiles.items():
            if name in done:
                continue
            facts = self.compiler.compile(
                exported / PLANS[name],
                ranges,
                work / name,
                capabilities=self.capabilities,
                timing_cache=timing_cache,
                report=report,
            )
            done[name] = {"bytes": facts.plan_bytes, "fused": facts.fused}
            (half := work / f"{COMPILED}.half").write_text(json.dumps({"key": self._key(), "plans": done}))
            half.replace(work / COMPILED)

    def _put_together(self, work: Path, out: Path) -> None:
        with replacing(out) as folder:
            sizes = dict[str, int]()
            for name in self.profiles:
                sizes[name] = (work / name).stat().st_size
                try:
                    os.link(work / name, folder / name)
                except OSError:  # a file system without links: the work folder loses its plan
                    shutil.move(work / name, folder / name)
            for name, content in self.draft.side_files.items():
                (folder / name).write_bytes(content)
            manifest = self.manifest
            if (work / EXPECTED).is_file():
                shutil.copyfile(work / EXPECTED, folder / EXPECTED)
                sizes[EXPECTED] = (folder / EXPECTED).stat().st_size
            dataclasses.replace(manifest, files={**sizes, **manifest.files}).save(folder)
            digests.write(folder)

    def _timing_cache(self, out: Path) -> Path | None:
        """The file of kernel timings, shared by all builds in the same folder; TensorRT-RTX takes none."""
        if self.compiler.flavour != "tensorrt":
            return None
        return out.with_name(f"timing-{self.compiler.version}-{'-'.join(self.capabilities)}.cache")

    def _compiled(self, work: Path) -> dict[str, bool]:
        """Return the plans of this build that are in the work folder, and whether each has kernels for attention."""
        try:
            state = json.loads((work / COMPILED).read_text())
            if state["key"] != self._key():
                return {}
            found = {name: (work / name).stat().st_size for name in state["plans"]}
            return {name: bool(one["fused"]) for name, one in state["plans"].items() if one["bytes"] == found[name]}
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return {}

    def _key(self) -> str:
        """A digest of everything that decides the plans."""
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
