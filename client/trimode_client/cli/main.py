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
from ..transports import Options, Tls
from ..transports.options import RETRIES
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
        help="host:port, or a URL of grpc, grpcs, http or https "
        "[$TRIMODE_URL, else localhost:8001 for grpc, localhost:8000 for http]",
    )
    server.add_argument("--protocol", choices=("grpc", "http"), help="how to talk to it [as the URL says, else grpc]")
    limit: dict[str, Any] = {"type": float, "metavar": "S"}
    shown = "most seconds for a whole answer [%(default)g]"
    server.add_argument("--timeout", **limit, default=ANSWER_SECONDS, help=shown)
    shown = "most seconds between two pieces of a stream [%(default)g]"
    server.add_argument("--inactivity", **limit, default=INACTIVITY_SECONDS, help=shown)
    shown = "how often a request that failed is sent again, if that may help [%(default)s]"
    server.add_argument("--retries", type=int, metavar="N", default=RETRIES, help=shown)
    shown = "sent with each request, over gRPC as metadata; may be given several times [none]"
    server.add_argument("--header", type=_header, action="append", metavar="NAME:VALUE", help=shown)
    server.add_argument("--ca-file", metavar="FILE", help="authorities of the server's certificate [the public ones]")
    server.add_argument("--cert-file", metavar="FILE", help="the client's certificate [none]")
    server.add_argument("--key-file", metavar="FILE", help="its key [in --cert-file]")
    top = argparse.ArgumentParser(prog="trimode", description="Ask a Nemotron-Labs-Diffusion server.")
    top.add_argument("--version", action="version", version=f"trimode {__version__}")
    commands = top.add_subparsers(required=True, metavar="command")
    for module in COMMANDS:
        module.add_parser(commands, shared)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # gRPC's own log of a failure; the error line says what matters
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
    files = Tls(arguments.ca_file, arguments.cert_file, arguments.key_file)
    options: Options = {
        "timeout": arguments.timeout,
        "inactivity": arguments.inactivity,
        "retries": arguments.retries,
        "headers": dict(arguments.header or ()),
        "tls": None if files == Tls() else files,
    }
    try:
        with Client(arguments.url, arguments.protocol, **options) as client:
            return run(client, arguments, open_console())
    except (InvalidRequestError, UsageError) as exc:
        return _fail(exc, 2)
    except UnavailableError as exc:
        return _fail(exc, 3)
    except TrimodeClientError as exc:
        return _fail(exc, 1)
    except KeyboardInterrupt:
        return 130


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not (colon and name):
        raise argparse.ArgumentTypeError("must be NAME:VALUE")  # the text may be a secret
    return name.strip(), value.strip()


def _fail(exc: object, code: int) -> int:
    print(f"trimode: {' '.join(str(exc).split())}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
