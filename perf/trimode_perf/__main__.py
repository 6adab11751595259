"""`python -m trimode_perf COMMAND`: every measurement by its name.

Imports the module of the chosen command alone: gpu-check runs where torch is installed and nothing else.
"""

from __future__ import annotations

import argparse
import importlib
import sys

COMMANDS = {
    "speed": ("speed.run", "time every mode, part by part, and write perf/RESULTS.md: `make perf`"),
    "record-drafts": ("speed.speculation.recording", "record how long drafts are right, for replays on any device"),
    "report": ("speed.report", "write perf/RESULTS.md again from what was measured"),
    "perf-analyzer": ("speed.perf_analyzer", "load a server that runs with NVIDIA's perf_analyzer"),
    "aiperf": ("speed.aiperf", "write perf/AIPERF.md from what NVIDIA's AIPerf exported"),
    "peers": ("speed.peers", "compare with what people could use instead, and print the table"),
    "peers-large": ("peers.large", "time passes of 1.03 G random parameters against llama.cpp's"),
    "quality": ("quality.run", "count what a checkpoint gets right in every mode, and write its card"),
    "editing": ("editing.run", "count how gaps are filled and answers mended, and write perf/EDITING.md"),
    "soak": ("soak.run", "load a server for minutes, compare every answer, and write what it held: `make soak`"),
    "fuzz": ("fuzz.run", "send requests by chance over every face, and write what came of them: `make fuzz`"),
    "fuzz-pictures": ("fuzz.picture_run", "load pictures and URLs by chance, and write what came of them"),
    "fuzz-guides": ("fuzz.guide_run", "ask for schemas and grammars by chance, and check every complete answer"),
    "gpu": ("gpu.check", "check and time the engines on an NVIDIA GPU; needs torch and nothing else"),
    "host-side": (
        "speed.speculation.host_side",
        "time scheduler and engine over a device that computes nothing, at 8B's shapes",
    ),
    "gpu-reference": ("gpu.parity", "write the answers that `gpu` compares with, by the CPU engine"),
    "conversion": ("conversion", "measure the memory that converting a released size takes"),
}
"""The module of each command, whose `main(arguments)` returns the exit status, and what it does."""


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(
        prog="python -m trimode_perf",
        description="Measure this project.",
        epilog="commands (each has --help):\n"
        + "\n".join(f"  {name:14} {what}" for name, (_, what) in COMMANDS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("command", choices=COMMANDS, metavar="COMMAND", help="one of those below")
    made.add_argument("options", nargs=argparse.REMAINDER, help="those of the command")
    return made


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return its exit status, 1 where it needs what this Python lacks."""
    given = parser().parse_args(arguments)
    try:
        module = importlib.import_module(f"trimode_perf.{COMMANDS[given.command][0]}")
    except ModuleNotFoundError as exc:
        if (exc.name or "").startswith("trimode_perf"):
            raise
        print(f"{given.command}: needs {exc.name}, which {sys.executable} cannot import", file=sys.stderr)
        return 1
    return int(module.main(given.options))


if __name__ == "__main__":
    sys.exit(main())
