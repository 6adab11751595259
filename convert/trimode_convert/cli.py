"""The command line: CHECKPOINT in, bundle out, with progress, checks on request and a summary.

Exit codes: 0 built or up to date, 1 failed (one line on stderr says why), 2 wrong usage, 130 interrupted.
Knows the order of the steps and no detail of any.
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import signal
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table
from trimode import __version__
from trimode.bundle.compilation import FLAVOURS
from trimode.bundle.manifest import Manifest
from trimode.errors import BundleError, TrimodeError

from .atomic_folder import check_place, megabytes
from .bundle import drafts, hf_ministral
from .bundle.cpu_memory import CpuMemory
from .bundle.facts import DEFAULT_CAPACITY
from .bundle.onnx_bundle import BundleDraft, BundleOptions
from .bundle.tensorrt_bundle import TensorRtBuild, work_folder
from .bundle.torch_bundle import TorchDraft
from .checkpoint.checkpoint import Checkpoint
from .checkpoint.known_hash import Reading
from .checkpoint.tokenizer_file import text_remarks
from .graph.precisions import ONNXRUNTIME, TARGETS, TENSORRT, TORCH
from .progress import peak_memory, phases, progress
from .tensorrt.footprint import GPUS, gigabytes
from .tensorrt.profiles import DEFAULT_BATCH, DEFAULT_CHUNK, DEFAULT_QUADRATIC, Shapes
from .verify import vision
from .verify.expected import expected_json
from .verify.verify import Outcome, against_kit, against_reference

LONG_BYTES = 256 << 20  # bytes of a checkpoint whose reading takes seconds, so that it is announced


def parser() -> argparse.ArgumentParser:
    """Return the parser; its help documents the options."""
    made = argparse.ArgumentParser(
        prog="python -m trimode_convert",
        description="Turn a checkpoint into an engine bundle: Nemotron-Labs-Diffusion, or the Llama family (Llama, "
        "Mistral, Ministral 3), in the layout of Hugging Face, or a GGUF file of architecture llama.",
    )
    made.add_argument("--version", action="version", version=f"trimode {__version__}")
    made.add_argument(
        "checkpoint", type=Path, metavar="CHECKPOINT", help="folder with config.json and *.safetensors, or .gguf file"
    )
    made.add_argument("--out", type=Path, required=True, metavar="BUNDLE", help="folder to write")
    made.add_argument(
        "--target",
        choices=[*sorted(TARGETS), hf_ministral.TARGET],
        default="onnxruntime",
        help=f"the runtime to build for, or {hf_ministral.TARGET}: a folder that engines of autoregressive models load "
        "(default: %(default)s)",
    )
    precisions = sorted({name for target in TARGETS.values() for name in target.precisions})
    made.add_argument(
        "--precision", choices=precisions, help=f"of weights and matrix products (default: {_default_precisions()})"
    )
    made.add_argument(
        "--capacity",
        type=int,
        metavar="N",
        help=f"largest number of tokens in a sequence (default: {DEFAULT_CAPACITY}, or all positions if fewer)",
    )
    made.add_argument("--name", help="the model's name (default: that of the folder or file)")
    made.add_argument("--force", action="store_true", help="build even if the bundle is up to date")
    made.add_argument(
        "--rehash", action="store_true", help="read all of the checkpoint even if its files look unchanged"
    )
    check = "compare the bundle with a plain numpy model (with --target torch, the engine does so when it opens)"
    made.add_argument("--verify", action="store_true", help=check)
    logits = "compare the bundle with the logits of the official model in a .npz file"
    made.add_argument("--parity-logits", type=Path, metavar="FILE", help=logits)
    rows = "compare the bundle's tower with the rows of pictures that a kit stores in a .npz file"
    made.add_argument("--parity-pictures", type=Path, metavar="FILE", help=rows)
    _add_tensorrt_options(made)
    return made


def _add_tensorrt_options(made: argparse.ArgumentParser) -> None:
    gpu = made.add_argument_group("with --target tensorrt")
    gpu.add_argument(
        "--batch", type=int, metavar="N", help=f"largest number of rows in a call (default: {DEFAULT_BATCH})"
    )
    gpu.add_argument(
        "--chunk", type=int, metavar="N", help=f"largest number of prompt tokens in a call (default: {DEFAULT_CHUNK})"
    )
    gpu.add_argument(
        "--quadratic",
        type=int,
        metavar="N",
        help=f"tokens of the longest draft of quadratic speculation, whose pass has N * (N + 1); 0 for none (default: "
        f"{DEFAULT_QUADRATIC}, or what the capacity holds)",
    )
    gpu.add_argument("--flavour", choices=FLAVOURS, help="the compiler (default: the first that is installed)")
    gpu.add_argument(
        "--gpu",
        choices=sorted(GPUS),
        help="the GPU to compile for, whose memory must suffice (default: this machine's)",
    )
    gpu.add_argument(
        "--compute-capability",
        action="append",
        default=[],
        metavar="N.N",
        help="compile for this compute capability; may be repeated",
    )
    gpu.add_argument(
        "--graph-only", action="store_true", help="write the graph and its weights but do not compile them"
    )


def _default_precisions() -> str:
    return ", ".join(f"{target.default} for {name}" for name, target in TARGETS.items())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    options = parser().parse_args(arguments)
    out = Console(highlight=False, soft_wrap=True)
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)  # a kill then cleans up as Ctrl-C does
    try:
        return _convert(options, out, errors)
    except (TrimodeError, OSError) as exc:  # a disk may fail where no step expects it
        errors.print(f"error: {exc}", markup=False)
        return 1
    except KeyboardInterrupt:
        work = work_folder(Path(options.out).resolve())
        kept = f"; the finished parts are in {work}" if work.is_dir() else ""
        errors.print(f"interrupted: no incomplete bundle was left behind{kept}", markup=False)
        return 130
    finally:
        signal.signal(signal.SIGTERM, previous)


def _convert(options: argparse.Namespace, out: Console, errors: Console) -> int:
    started = time.monotonic()
    target = Path(options.out).resolve()  # a link's target is replaced, not the link
    if options.target == hf_ministral.TARGET:
        hf_ministral.check_options(options)
        out.print(f"{target}: {hf_ministral.write(options.checkpoint, target)}", markup=False)
        return 0
    asked = BundleOptions(options.precision, options.capacity, options.name, TARGETS[options.target])
    check_place(target)
    if asked.target is TORCH and (options.parity_logits or options.parity_pictures):
        raise BundleError("--parity-logits and --parity-pictures check a graph, and --target torch has none")
    with Checkpoint.open(options.checkpoint) as checkpoint:
        draft = drafts.outline(checkpoint, asked)
        if isinstance(draft, BundleDraft) and asked.target is TENSORRT and not options.graph_only:
            return _compile(options, draft, checkpoint, target, out, errors)
        reading = Reading.of(target, checkpoint.paths, partial(_read, checkpoint, errors), again=options.rehash)
        draft, state = draft.hashed(reading.hash), "up to date"
        if isinstance(draft, TorchDraft) and options.verify:
            draft = draft.expecting(expected_json(checkpoint, draft.manifest))
        if options.force or not drafts.is_up_to_date(draft, target):
            with progress(errors, "writing", drafts.weight_bytes(draft)) as advance:
                state = drafts.write(draft, target, advance)
        reading.keep(target)
        seconds = time.monotonic() - started
        outcomes = _outcomes(options, target, checkpoint)
    table = _summary(target, draft.manifest, checkpoint, state, seconds, outcomes, read=reading.read)
    if asked.target is ONNXRUNTIME:
        need = CpuMemory.of(draft.manifest)
        table.add_row(
            "memory to serve",
            f"weights {megabytes(need.weights)}, keys and values {megabytes(need.kv_per_slot)} a slot at most",
        )
    out.print(table)
    if failed := [outcome for outcome in outcomes if not outcome.passed]:
        shutil.rmtree(target)  # otherwise the next build would call it up to date
        text = f"error: {len(failed)} of {len(outcomes)} checks failed and the bundle was removed, first: {failed[0]}"
        errors.print(text, markup=False)
        return 1
    return 0


def _outcomes(options: argparse.Namespace, bundle: Path, checkpoint: Checkpoint) -> list[Outcome]:
    """Run the checks that the user asked for on a graph on disk."""
    found: list[Outcome] = []
    if options.verify and TARGETS[options.target] is not TORCH:
        found += [*against_reference(bundle, checkpoint), *vision.against_reference(bundle, checkpoint)]
    if options.parity_logits is not None:
        found += against_kit(bundle, options.parity_logits)
    if options.parity_pictures is not None:
        found += vision.against_kit(bundle, options.parity_pictures)
    return found


def _compile(
    options: argparse.Namespace, draft: BundleDraft, checkpoint: Checkpoint, target: Path, out: Console, errors: Console
) -> int:
    """Build a TensorRT bundle. The checks run on the exported graph, before it is compiled."""
    started = time.monotonic()
    build = TensorRtBuild.design(  # refuses what cannot work before the checkpoint is read
        draft,
        checkpoint.config,
        Shapes.of(checkpoint.config, draft.manifest.capacity, options.batch, options.chunk, options.quadratic),
        flavour=options.flavour,
        capabilities=options.compute_capability,
        gpu=options.gpu,
    )
    reading = Reading.of(target, checkpoint.paths, partial(_read, checkpoint, errors), again=options.rehash)
    build = dataclasses.replace(build, draft=draft.hashed(reading.hash))
    cost = build.cost(checkpoint.size(), target)
    outcomes: list[Outcome] = []

    def check(exported: Path) -> None:
        outcomes.extend(_outcomes(options, exported, checkpoint))
        if failed := [outcome for outcome in outcomes if not outcome.passed]:
            shutil.rmtree(exported)
            raise BundleError(f"{len(failed)} of {len(outcomes)} checks of the graph failed, first: {failed[0]}")

    expect = partial(expected_json, checkpoint, draft.manifest)
    state, fused = "up to date", True
    if options.force or not build.is_up_to_date(target):
        state = f"compiled with {build.compiler.flavour} {build.compiler.version}, not executed"
        room = f"{gigabytes(cost.disk)} of disk and {gigabytes(cost.memory)} of memory"
        errors.print(f"about {cost.seconds / 60:.0f} min, {room} to build (estimates)")
        if options.force:
            shutil.rmtree(work_folder(target), ignore_errors=True)
        with progress(errors, "exporting", draft.weight_bytes) as advance, phases(errors) as report:
            fused = build.run(
                target,
                checkpoint_bytes=checkpoint.size(),
                advance=advance,
                report=report,
                check_export=check,
                expect=expect,
            )
    reading.keep(target)
    manifest, seconds = Manifest.load(target), time.monotonic() - started
    table = _summary(target, manifest, checkpoint, state, seconds, outcomes, read=reading.read)
    if not fused:
        table.add_row("attention", "TensorRT has no dedicated kernel for these shapes: decomposed, which is slower")
    _add_gpu_rows(table, build)
    out.print(table)
    return 0


def _add_gpu_rows(table: Table, build: TensorRtBuild) -> None:
    need, compiled = build.footprint, build.manifest.compiled
    assert compiled is not None
    table.add_row("compute capability", ", ".join(build.capabilities))
    table.add_row(
        "GPU memory",
        f"weights {gigabytes(need.weights)}, keys and values {gigabytes(need.kv_per_slot)} per sequence, "
        f"workspace about {gigabytes(need.workspace)}",
    )
    if need.tower:
        table.add_row("GPU memory for pictures", f"about {gigabytes(need.tower)}")
    longest = compiled.quadratic_length
    table.add_row("quadratic speculation", f"drafts of up to {longest} tokens" if longest > 1 else "none")


def _read(checkpoint: Checkpoint, errors: Console) -> str:
    """Hash the checkpoint, for which all of it is read; say so if that takes long."""
    if checkpoint.size() >= LONG_BYTES:
        errors.print(f"reading all of {checkpoint.folder} ({gigabytes(checkpoint.size())}) to hash it", markup=False)
    with progress(errors, "reading", checkpoint.size()) as advance:
        return checkpoint.hash(advance)


def _summary(
    target: Path,
    manifest: Manifest,
    checkpoint: Checkpoint,
    state: str,
    seconds: float,
    outcomes: Sequence[Outcome],
    *,
    read: bool,
) -> Table:
    remarks = [("text", line) for line in text_remarks(target, manifest.files, manifest.vocab_size)]
    table = Table(title=f"{target}: {state}", show_header=False, title_justify="left")
    table.add_row("model", f"{manifest.model}, {manifest.precision}, capacity {manifest.capacity}")
    if manifest.capacity < (positions := checkpoint.config.max_positions):
        table.add_row("capacity", f"of {positions} positions; CAPACITY=n or --capacity n for more")
    table.add_row("parameters", f"{checkpoint.parameters:,}{' with draft adapter' * manifest.adapter}")
    if not read:
        table.add_row("checkpoint", "unchanged, not read again (--rehash reads it)")
    table.add_row("bundle", megabytes(sum(manifest.files.values())))
    table.add_row("time", f"{seconds:.1f} s")
    table.add_row("peak memory", megabytes(peak_memory()))
    for name, remark in [*(("weights", line) for line in checkpoint.remarks), *remarks]:
        table.add_row(name, remark)
    for outcome in outcomes:
        table.add_row(outcome.name, outcome.text)
    return table
