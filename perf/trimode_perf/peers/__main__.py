"""`make peers`: times our runtime and what people could use instead, interleaved. Prints the table.

A part of `make perf`, which keeps what it finds. Starts a worker process for each peer and ends them, also on Ctrl-C.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from trimode.config import ServerConfig
from trimode.errors import TrimodeError
from trimode.runtime import Runtime

from ..common.hardware import describe
from ..common.paths import MODEL_YAML, NANO, PROJECT
from ..common.progress import progress, run
from ..common.prompts import claimed, load, spread
from . import table
from .comparison import Workers, compare
from .process import PeerError


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(prog="python -m trimode_perf.peers", description=__doc__)
    made.add_argument("--checkpoint", type=Path, default=NANO, metavar="DIR", help="[checkpoints/nano]")
    made.add_argument("--bundle", type=Path, default=PROJECT / "build/out/nano-float32", metavar="DIR")
    made.add_argument("--python", type=Path, default=PROJECT / ".venv-train/bin/python", help="the peers' interpreter")
    made.add_argument("--threads", type=int, default=0, metavar="N", help="of each, 0 for every core [%(default)s]")
    made.add_argument("--prompts", type=int, default=12, metavar="N", help="timed [%(default)s]")
    made.add_argument("--max-tokens", type=int, default=128, metavar="N", help="per answer [%(default)s]")
    made.add_argument("--seconds", type=float, default=60.0, metavar="S", help="[%(default)g]")
    return made


def main(arguments: list[str] | None = None) -> int:
    """Run everything; return 0, 1 where a peer or something else failed, or 130 when interrupted."""
    options = parser().parse_args(arguments)

    def work() -> int:
        results = measure(options)
        print(table.text(results))
        if any("error" in row for row in results["rows"]):
            raise PeerError("a peer failed")
        return 0

    return run("peers", work, PeerError, TrimodeError)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Return what was measured, and on what."""
    config = ServerConfig.load(MODEL_YAML)
    config = replace(config, bundle=options.bundle.resolve(), threads=options.threads)
    asked = spread(claimed(load(options.checkpoint / "heldout.jsonl", 1)), options.prompts)
    runtime = Runtime.open(config)
    try:
        about = {
            "measured_at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            "hardware": describe(runtime.manifest, config),
            "command": "make peers",
        }
        with progress(text="peers and this runtime") as bar:
            found = compare(
                runtime,
                asked,
                options.max_tokens,
                options.seconds,
                lambda share: bar.at(min(share, 0.999)),  # the last round may end late
                Workers(options.python, options.checkpoint, options.threads),
            )
        return {**about, **found}
    finally:
        runtime.close()


if __name__ == "__main__":
    sys.exit(main())
