"""What README and docs/benchmarks.md say of GPUs, from perf/results/gpu: `python -m trimode_perf report` writes it.

A page has a pair of marks for each text, so that the words around them are its own. Needs nothing but Python.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .markdown import table
from .results import read

Found = dict[str, Any]
SECTION = "docs/benchmarks.md#on-gpus"
NOTHING = (
    "Nothing yet: there is no file in `perf/results/gpu/`. `make gpu-check` writes one on a machine with an NVIDIA GPU."
)
MARKED = re.compile(r"(?<=<!--gpu:(?P<name>[a-z]{5})-->).*?(?=<!--/gpu-->)", re.DOTALL)
"""What stands between marks; a look-behind has one width, so names have five letters."""
CONTAINER = "`make image`: never built; its [steps ran](docs/compatibility.md#the-container) in a Debian"
PARITY = {"product": "this project's torch engine", "torch": "a plain torch model"}
"""The engines of parity whose names need more words."""


def results(folder: Path) -> dict[str, Found]:
    """Return what was found on each GPU, by the name of its file; a rehearsal's files are left out."""
    found = {path.stem: read(path) for path in sorted(folder.glob("*.json"))}
    return {name: one for name, one in found.items() if one["device"]["type"] == "cuda"}


def write(project: Path, folder: Path) -> None:
    """Put what `folder` says between the marks of README.md and docs/benchmarks.md."""
    found = results(folder)
    for name in ("README.md", "docs/benchmarks.md"):
        page = project / name
        page.write_text(filled(page.read_text(encoding="utf-8"), found), encoding="utf-8")


def filled(page: str, found: dict[str, Found]) -> str:
    """Return a page with the texts between its marks."""
    texts = {"state": f"\n{status(found)}\n", "parts": f"\n{section(found)}\n"}
    return MARKED.sub(lambda mark: texts[mark["name"]], page)


def status(found: dict[str, Found]) -> str:
    """Return README's table of engines."""
    rows = [
        ("ONNX Runtime on CPUs, float32, int8 and int4", "runs; every figure here comes from it"),
        ("PyTorch, by `ENGINE=torch`", torch_status(found)),
        ("TensorRT on NVIDIA GPUs", tensorrt_status(found)),
        ("container", CONTAINER),
    ]
    return table(("engine", "status"), rows, ("engine", "status"))


def torch_status(found: dict[str, Found]) -> str:
    """Return what README's table says of the torch engine."""
    same, others = _ran(found, "product")
    if not same and not others:
        return "runs on CPUs; its branch for GPUs was [never executed](docs/guides/gpu.md)"
    said = f"runs on {' and '.join(['CPUs', *same])}"
    return f"{said}{_wrong(others)}: [what ran]({SECTION})"


def tensorrt_status(found: dict[str, Found]) -> str:
    """Return what README's table says of TensorRT's engine."""
    same, others = _ran(found, "tensorrt")
    ran = f"ran on {' and '.join(same)}" if same else "compiled, never executed on a GPU"
    if others:
        ran = f"{ran if same else 'compiled'}{_wrong(others)}"
    ran = f"[{ran}]({SECTION})" if same or others else ran
    return f"{ran}; it [copies the cache](docs/guides/gpu.md#what-is-open)"


def section(found: dict[str, Found]) -> str:
    """Return what ran on which GPU, a line for each part; or that nothing did."""
    if not found:
        return NOTHING
    rows = [
        (f"[{one['device']['name']}](../perf/results/gpu/{name}.md)", part, said)
        for name, one in found.items()
        for part, said in parts(one)
    ]
    return table(("GPU", "part", "what came of it"), rows, ("GPU", "part", "what came of it"))


def parts(found: Found) -> list[tuple[str, str]]:
    """Return (part, what came of it) for all that a record has."""
    said = [(f"ids, {PARITY.get(name, name)}", _parity(one)) for name, one in found.get("parity", {}).items()]
    if rows := found.get("expected"):
        compared = [row for row in rows if not row["found"].startswith("skipped: ")]
        wrong = sum(row["fault"] for row in compared)
        said.append(("expected rows", f"{len(compared)} of {len(rows)} compared, {wrong} with a fault"))
    if calls := found.get("calls"):
        said.append(("random calls", _calls(calls)))
    if states := found.get("driver"):
        ok = sum(state == "ok" for state in states.values())
        said.append(("CUDA's driver", _first(states, "skipped") or f"{ok} of {len(states)} checks are right"))
    if skipped := found.get("product_skipped"):
        said.append(("product's loop", f"skipped: {skipped}"))
    said += [(f"product's loop, {row['size']}, {row['mode']}, {row['rows']} at once", _loop(row))
             for row in found.get("product", [])]  # fmt: skip
    for name in ("attention", "passes"):
        if rows := found.get(name):
            said.append((name, f"{sum('milliseconds' in row for row in rows)} shapes timed"))
    return said + list(found.get("stopped", {}).items())


def _ran(found: dict[str, Found], engine: str) -> tuple[list[str], list[str]]:
    """Return the GPUs on which an engine gave every id, and those on which it gave others or failed."""
    same, others = list[str](), list[str]()
    for one in found.values():
        answers = one.get("parity", {}).get(engine, {})
        if "failed" in answers or answers.get("differing"):
            others.append(one["device"]["name"])
        elif answers.get("rows"):
            same.append(one["device"]["name"])
    return same, others


def _wrong(devices: Sequence[str]) -> str:
    return f", fails on {' and '.join(devices)}" if devices else ""


def _first(one: Found, *names: str) -> str:
    """Return the first of what stands under these names, with its name; nothing if there is none."""
    return next((f"{name}: {one[name]}" for name in names if name in one), "")


def _parity(one: Found) -> str:
    if said := _first(one, "skipped", "failed"):
        return said
    asked, same = (sum(row[name] for row in one["rows"]) for name in ("asked", "same_ids"))
    return f"{same} of {asked} answers are the reference's to the last id"


def _calls(one: Found) -> str:
    if said := _first(one, "skipped", "failed"):
        return said
    return f"{one['rows']} rows, {one['largest']:.1e} of the largest logit away from the processor's at most"


def _loop(row: Found) -> str:
    a_pass = 1000 * row["seconds_in_passes"] / row["passes"]
    speed = row["tokens"] / row["seconds"]
    return f"{speed:.1f} tokens/s, {a_pass:.2f} ms a pass and {row['host_milliseconds_a_pass']:.2f} ms beside it"
