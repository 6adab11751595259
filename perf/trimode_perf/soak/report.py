"""The section of a soak in perf/RELIABILITY.md, and what must hold of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..common.claims import Claim
from .watch import FRONT, HELPERS, STUB, TRITON

FLAT, STEP_MIB = 1.02, 64.0
"""The most that the stub may grow in the last third of a soak: a share, and what a call takes with nano that is larger
than any before it."""
SPARE_FILES, SPARE_THREADS = 16, 4
"""What may be there more than before: a kept connection to Triton for each caller and a few, some threads of Triton."""
KEPT = {("nano", "float32"): "soak", ("nano-vlm", "float32"): "soak_pictures"}
"""The soaks of RELIABILITY.md, by model and precision."""
Found = Mapping[str, Any]


def claims(found: Found) -> list[Claim]:
    """Return what must hold."""
    stub = [held["memory_mib"].get(STUB, 0.0) for held in found["minutes"]]
    limit = sum(found["bound_mib"].values())
    third = max(len(stub) // 3, 1)
    began, last = stub[-third], max(stub[-third:])
    made = [
        Claim(f"{len(found['wrong'])} answers are wrong, none may be", not found["wrong"]),
        Claim(f"{len(found['lost'])} answers are lost, none may be", not found["lost"]),
        Claim(f"the stub held {max(stub):.0f} MiB, {limit:.0f} at most", max(stub) <= limit),
        Claim(
            f"in the last third it grew from {began:.0f} to {last:.0f} MiB, {STEP_MIB:g} MiB and 2 % at most",
            last <= began * FLAT + STEP_MIB,
        ),
    ]
    for name, spare in (("files", SPARE_FILES), ("threads", SPARE_THREADS)):
        before, after = found["before"][name], found["after"][name]
        for role in (FRONT, TRITON, STUB):
            text = f"{role} has {after[role]} {name} afterwards, {before[role]} before"
            made.append(Claim(text, after[role] <= before[role] + spare))
    return made


def name_of(found: Found) -> str:
    """Return the name of a soak's record and plot: RELIABILITY.md shows that of nano, and that of pictures."""
    model, precision = found["machine"]["model"], found["machine"]["precision"]
    return KEPT.get((model, precision), f"soak_{model}_{precision}")


def section(found: Found) -> str:
    """Return the section."""
    model, name = found["machine"]["model"], name_of(found)
    title = "Under mixed load with pictures" if name == "soak_pictures" else "Under mixed load"
    asked = sum(found["answered"].values())
    kinds = "\n".join(f"| {kind} | {count:,} |" for kind, count in sorted(found["answered"].items()))
    ways = ", ".join(f"{way} {count:,}" for way, count in sorted(found["ways"].items()))
    parts = "\n".join(f"| {part} | {mib:.0f} |" for part, mib in found["bound_mib"].items())
    held = "\n".join(_row(f"minute {at}", minute) for at, minute in _shown(found["minutes"]))
    return f"""
## {title}

`{found["command"]}`, at commit {found["commit"]}, on {found["measured_at"]}, {found["machine"]["cores"]} cores: {found["callers"]} callers
at once for {len(found["minutes"])} minutes. Each of {found["requests"]} requests was asked by itself before, and every answer was held
to that one: {asked:,} whole answers, {len(found["wrong"])} wrong, {len(found["lost"])} lost. In {found["left"]:,} cases more the caller left in
the middle, {found["refused"]:,} requests that nobody can answer got their error, and {found["slow"]:,} answers had a slow reader.
By way: {ways}.

| request | answers |
| --- | --- |
{kinds}

What the processes held, the most within the minute, memory in MiB. Pages that they share are divided among them. Helpers
are the processes that render templates and try grammars, and the reaper. The stub grows when a call is larger than any
before it, in steps of ONNX Runtime's memory.

| | {STUB} | {FRONT} | {TRITON} | {HELPERS} | /dev/shm | files | threads | requests |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
{_row("before", found["before"])}
{held}
{_row("afterwards", found["after"])}

![memory by the minute](plots/{name}.png)

The bound on the stub's memory with {model} and the settings that ship, {sum(found["bound_mib"].values()):.0f} MiB, has these parts.
[Operations](../docs/operations.md#memory-and-devshm) says what sets each. Grammars count with the states that answers
went through.

| part | MiB |
| --- | --- |
{parts}
"""  # noqa: E501


def _shown(minutes: list[Found]) -> list[tuple[int, Found]]:
    """Return some ten minutes, the first and the last among them, with their numbers."""
    step = max(len(minutes) // 10, 1)
    return [(at, one) for at, one in enumerate(minutes, 1) if at == 1 or at % step == 0 or at == len(minutes)]


def _row(name: str, held: Found) -> str:
    memory = " | ".join(f"{held['memory_mib'].get(role, 0):.0f}" for role in (STUB, FRONT, TRITON, HELPERS))
    files, threads = sum(held["files"].values()), sum(held["threads"].values())
    return f"| {name} | {memory} | {held['shm_mib']:.1f} | {files} | {threads} | {held['requests']} |"
