"""The `trimode` command: its parser, its exit codes, and one error line. Each subcommand has a file of its own.

Exit codes: 0 fine, 1 the server failed or gave no whole answer, 2 the request or the command line is wrong,
3 nobody answers or the model is not ready, 130 interrupted.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from rich.console import Console
from trimode import __version__

from ..client import Client
from ..errors import InvalidRequestError, TrimodeClientError, UnavailableError
from ..transports.time_limits import ANSWER_SECONDS, INACTIVITY_SECONDS
from . import chat, compare, generate, health, infill, revise, watch
from .screen import UsageError, open_console

_ESCAPED = "backslashreplace"  # for characters that the terminal does not have
COMMANDS = (generate, infill, revise, watch, chat, compare, health)


def parser() -> argparse.ArgumentParser:
    """Return the parser; each command's file adds its own part."""
    shared = argparse.ArgumentParser(add_help=False)
    server = shared.add_argument_group("server")
    server.add_argument(
        "--url",
        default=os.environ.get("TRIMODE_URL"),
        help="host:port [$TRIMODE_URL, else localhost:8001 for grpc, localhost:8000 for http]",
    )
    server.add_argument("--protocol", choices=("grpc", "http"), default="grpc", help="how to talk to it [%(default)s]")
    limit: dict[str, Any] = {"type": float, "metavar": "S"}
    shown = "most seconds for a whole answer [%(default)g]"
    server.add_argument("--timeout", **limit, default=ANSWER_SECONDS, help=shown)
    shown = "most seconds between two pieces of a stream [%(default)g]"
    server.add_argument("--inactivity", **limit, default=INACTIVITY_SECONDS, help=shown)
    top = argparse.ArgumentParser(prog="trimode", description="Ask a Nemotron-Labs-Diffusion server.")
    top.add_argument("--version", action="version", version=f"trimode {__version__}")
    commands = top.add_subparsers(required=True, metavar="command")
    for module in COMMANDS:
        module.add_parser(commands, shared)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    for stream, errors in ((sys.stdin, "surrogateescape"), (sys.stdout, _ESCAPED), (sys.stderr, _ESCAPED)):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=errors)
    arguments = parser().parse_args(argv)
    try:
        code = _run(arguments)
        sys.stdout.flush()
        return code
    except OSError as exc:
        # Keep the interpreter from writing once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(exc, BrokenPipeError):  # nobody reads the output any more, as after `| head`
            return 0
        with suppress(OSError):
            _fail(f"the output cannot be written: {exc.strerror}", 1)
        return 1


def _run(arguments: argparse.Namespace) -> int:
    run: Callable[[Client, argparse.Namespace, Console], int] = arguments.run
    limits = {"timeout": arguments.timeout, "inactivity": arguments.inactivity}
    try:
        with Client(arguments.url, arguments.protocol, **limits) as client:
            return run(client, arguments, open_console())
    except (InvalidRequestError, UsageError) as exc:
        return _fail(exc, 2)
    except UnavailableError as exc:
        return _fail(exc, 3)
    except TrimodeClientError as exc:
        return _fail(exc, 1)
    except KeyboardInterrupt:
        return 130


def _fail(exc: object, code: int) -> int:
    print(f"trimode: {' '.join(str(exc).split())}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
