"""`make demo`: serves a bundle for a moment, and shows one prompt in every mode."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ..errors import TrimodeClientError
from ..local_server import serving
from .main import main as trimode
from .screen import open_console

PROMPT = "What is 248 + 175?"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demonstration and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m trimode_client.cli.demo", description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True, metavar="DIR", help="engine bundle to serve")
    parser.add_argument("--prompt", default=PROMPT, help="[%(default)s]")
    parser.add_argument("--max-tokens", type=int, default=128, metavar="N", help="[%(default)s]")
    arguments = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a kill must not leave the server running
    console = open_console(stderr=True)
    try:
        with tempfile.TemporaryDirectory(prefix="trimode-demo-") as scratch:
            console.print("starting the server …", style="dim")
            with serving(arguments.bundle, Path(scratch) / "server.log") as at:
                console.print(f"prompt: {arguments.prompt}", style="bold")
                compare = ("compare", arguments.prompt, "--max-tokens", str(arguments.max_tokens))
                code = trimode([*compare, "--url", at.grpc])
                console.print("stopping the server …", style="dim")
            return code
    except TrimodeClientError as exc:
        print(f"demo: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
