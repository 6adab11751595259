"""Render perf/RELIABILITY.md from the records that `make test-faults`, `make soak` and the fuzzes write.

`python -m scripts.render_reliability [faults] [soak] [soak with pictures] [fuzz] [pictures] [guides] [page]`. All but
the first two may be missing.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any

from trimode_perf.fuzz.guide_run import section as guides_section
from trimode_perf.fuzz.picture_run import section as pictures_section
from trimode_perf.fuzz.report import section as fuzz_section
from trimode_perf.soak.report import section as soak_section

ROOT = Path(__file__).parents[1]
RECORD = ROOT / "perf" / "results" / "reliability.json"
SOAK = ROOT / "perf" / "results" / "soak.json"
SOAK_PICTURES = ROOT / "perf" / "results" / "soak_pictures.json"
FUZZ = ROOT / "perf" / "results" / "fuzz.json"
PICTURES = ROOT / "perf" / "results" / "fuzz_pictures.json"
GUIDES = ROOT / "perf" / "results" / "fuzz_guides.json"
RECORDS = (RECORD, SOAK, SOAK_PICTURES, FUZZ, PICTURES, GUIDES)
PAGE = ROOT / "perf" / "RELIABILITY.md"
STOPS = (
    "\n## Stops\n\n"
    "SIGTERM to a server with four idle gRPC streams and four idle HTTP connections. Running requests get their whole\n"
    "answer first. No process, port or file was left.\n\n"
    "| running requests | stops | with status 0 | median time | longest |\n| --- | --- | --- | --- | --- |\n"
)


def rows(record: dict[str, Any]) -> list[str]:
    """Return the table's rows; the median where a fault was tried more than once."""
    found: defaultdict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in record["rows"]:
        found[row["fault"], row["over"]].append(row)
    made = []
    for (fault, over), tried in found.items():
        times = [row["seconds"] for row in tried if row["seconds"] is not None]
        again = f"{median(times):.1f} s" if times else "served on"
        answers = ", ".join(sorted({f"`{row['answer']}`" for row in tried if row.get("answer")})) or "-"
        made.append(f"| {fault} | {over} | {answers.replace('`whole`', 'whole')} | {again} |")
    return made


def stops(record: dict[str, Any]) -> list[str]:
    """Return the rows of the table of ordinary stops, one for each number of requests that ran."""
    found: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    for stop in record.get("stops", []):
        found[stop["running"]].append(stop)
    made = []
    for running, stopped in sorted(found.items()):
        times = [stop["seconds"] for stop in stopped]
        in_order = sum(stop["status"] == 0 for stop in stopped)
        made.append(f"| {running} | {len(stopped)} | {in_order} | {median(times):.1f} s | {max(times):.1f} s |")
    return made


Record = dict[str, Any]
SECTIONS = (soak_section, soak_section, fuzz_section, pictures_section, guides_section)


def page(record: Record, *others: Record | None) -> str:
    """Return the whole page: what faults and stops did, and what SECTIONS write of the soaks and the fuzzes."""
    hardware = record["hardware"]
    head = (
        "# Reliability\n\n"
        f"What `{record['command']}` did to a server on loopback:\n"
        f"at commit {record['commit']}, on {record['measured_at']}, on {hardware['cores']} cores and "
        f"{hardware['memory_gib']} GiB of memory without a GPU, with nano in float32.\n\n"
        "The tests in [tests/faults](../tests/faults) hold every answer against the right one and look for what is\n"
        "left behind. They assert no time. The times are those of one run, on a machine that did other things too.\n"
        "*The running answer* is what the caller got whose answer the fault met. *Serves again after* counts from the\n"
        "fault to the next right answer, and so includes the time until the fault was noticed. *Served on* is said of\n"
        "prompts of text. The template worker renders chats: one that meets a stopped worker waits for 10 s, then "
        "fails\nwith `engine_failed`, and the next is answered.\n\n"
    )
    table = "| fault | over | the running answer | serves again after |\n| --- | --- | --- | --- |\n"
    made = head + table + "\n".join(rows(record)) + "\n"
    if stopped := stops(record):
        made += STOPS + "\n".join(stopped) + "\n"
    parts = (write(found) for write, found in zip(SECTIONS, others, strict=True) if found is not None)
    return made + "".join(parts)


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def main(arguments: list[str]) -> int:
    """Read the records, write the page."""
    usual = [*RECORDS, PAGE]
    *records, out = [Path(given) for given in arguments] + usual[len(arguments) :]
    faults, soak, *others = records
    made = page(_read(faults), _read(soak), *(_read(one) if one.is_file() else None for one in others))
    out.write_text(made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
