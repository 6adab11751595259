"""The options of `python -m trimode.server`: their names, what each takes, and their help.

Knows no more of them; cli.py hands them on.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from ... import __version__
from ...api.reveals import RULE_FILES
from ...api.tensors import MODEL_NAME
from ...logs.lines import FORMS
from ...logs.setup import DEFAULT_FORM, DEFAULT_LEVEL, LEVELS
from ..access.tls import CERT_REQS, NOT_ASKED
from ..http_front.bodies import MOST_BYTES
from ..http_front.listener import MOST_CONNECTIONS
from ..ports import LOOPBACK
from .environment import take_environment
from .option_types import count, grace, interval, mebibytes, port, seconds, total_mebibytes, url, whole_seconds
from .triton_options import check_triton_options, split

PACKAGE = Path(__file__).resolve().parents[2]
PROJECT = PACKAGE.parents[1]  # of a checkout: above trimode and python_backend
DESCRIPTION = "Serve an engine bundle with Triton Inference Server over HTTP and gRPC, until SIGTERM or SIGINT."


TRITON_OPTIONS = "TRIMODE_TRITON_OPTIONS"
"""The variable with options of tritonserver, as a shell would split them; those after `--` come later."""
EPILOG = (
    "After -- come options of tritonserver, such as -- --log-verbose=1; those that trimode-serve sets "
    "itself are refused. Every option has a variable of the environment too, such as TRIMODE_HTTP_PORT for --http-port."
)


OF_ONE_MODEL: dict[str, object] = {"model_name": MODEL_NAME, "number": None, "taken_ports": (), "whose": ""}
"""What the options of one model say beside those that are given: see each_model.py, which sets them where there are
several: the model's name for KServe's clients, its number, the ports that Tritons of others have, and what stands in
front of what the log says of it."""


def read(arguments: Sequence[str], environment: Mapping[str, str]) -> argparse.Namespace:
    """Return the options that the command line and the environment give; what cannot be ends the program with status 2.

    The options of tritonserver are in `triton_options`.
    """
    made = parser()
    own, tritons = split(arguments)
    take_environment(made, environment)
    options = made.parse_args(own)
    try:
        options.triton_options = check_triton_options([*shlex.split(environment.get(TRITON_OPTIONS, "")), *tritons])
    except argparse.ArgumentTypeError as exc:
        made.error(str(exc))
    except ValueError as exc:
        made.error(f"variable {TRITON_OPTIONS}: {exc}")
    return options


def own_repository() -> Path:
    """Return the model repository that ships: inside the installed package, or else the checkout's."""
    installed = PACKAGE / "model_repository"
    return installed if installed.is_dir() else PROJECT / "model_repository"


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(prog="trimode-serve", description=DESCRIPTION, epilog=EPILOG)
    made.set_defaults(triton_options=(), **OF_ONE_MODEL)
    made.add_argument("--version", action="version", version=f"trimode {__version__}")
    _add_models(made)
    made.add_argument("--host", default=LOOPBACK, help="address of HTTP, IPv4 or IPv6 [%(default)s]")
    made.add_argument("--grpc-host", default=LOOPBACK, help="address of gRPC, IPv4 or IPv6 [%(default)s]")
    made.add_argument("--metrics-host", default=LOOPBACK, help="address of metrics, IPv4 or IPv6 [%(default)s]")
    made.add_argument("--gpus", metavar="LIST", help="one instance on each of these GPUs, e.g. 0,1; TensorRT bundles")
    for name, default, what in (("http", 8000, "HTTP"), ("grpc", 8001, "gRPC"), ("metrics", 8002, "metrics")):
        text = f"port of {what}; 0 takes a free one [%(default)s]"
        made.add_argument(f"--{name}-port", type=port, default=default, metavar="PORT", help=text)
    made.add_argument(
        "--no-playground",
        dest="playground",
        action="store_false",
        help="serve no page under /playground; its files need no key, what it asks for does",
    )
    every = (_add_logs, _add_start, _add_streams, _add_access, _add_tls, _add_rates, _add_origins, _add_limits)
    for add in every:
        add(made)
    return made


def _add_models(made: argparse.ArgumentParser) -> None:
    """Add what is served, and by which names."""
    made.add_argument(
        "--model-repository",
        type=Path,
        default=own_repository(),
        metavar="DIR",
        help="Triton's model repository [%(default)s]",
    )
    made.add_argument(
        "--bundle",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="engine bundle to serve; may be given several times, for a model each (the variable names one); overrides "
        "model.yaml",
    )
    made.add_argument(
        "--reveal-rule",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="serve this file's reveal rule too, by the file's name; may be given several times; "
        f"adds to ${RULE_FILES}",
    )
    made.add_argument(
        "--served-model-name",
        action="append",
        default=[],
        metavar="NAME",
        help="name of the model for OpenAI's clients; may be given several times; of several bundles each has one, "
        "in their order [the checkpoint's name]",
    )


def _add_logs(made: argparse.ArgumentParser) -> None:
    """Add what the log says and how, and where spans go, by vLLM's name."""
    made.add_argument(
        "--log-format",
        choices=tuple(FORMS),
        default=DEFAULT_FORM,
        help="lines of the log, those of tritonserver included: text, or one JSON object each [%(default)s]",
    )
    made.add_argument(
        "--log-level",
        choices=LEVELS,
        default=DEFAULT_LEVEL,
        help="the least important lines that are logged; debug has every request and every pass, and what tritonserver "
        "says to inform [%(default)s]",
    )
    made.add_argument(
        "--otlp-traces-endpoint",
        type=url,
        default="",
        metavar="URL",
        help="send spans of OpenTelemetry to this collector, by OTLP over HTTP, such as "
        "http://localhost:4318/v1/traces; needs the extra tracing [none]",
    )


def _add_start(made: argparse.ArgumentParser) -> None:
    """Add how the server starts."""
    made.add_argument(
        "--verify",
        action="store_true",
        help="read the whole bundle before serving, also where its files look unchanged since they were checked",
    )
    made.add_argument(
        "--triton-ports",
        action="store_true",
        help="let tritonserver listen on free loopback ports, for a release that cannot listen on Unix sockets; every "
        "user of this machine can then ask it, past the limits and keys of this server",
    )


def _add_streams(made: argparse.ArgumentParser) -> None:
    """Add how often streams send, the first by vLLM's name."""
    for name, metavar, text in (
        ("stream-interval", "N", "new tokens after which a stream sends again; 0 counts none"),
        ("stream-interval-ms", "MS", "milliseconds after which a stream sends again; with another interval than 1"),
    ):
        more = "for requests that do not say; overrides model.yaml"
        made.add_argument(f"--{name}", type=interval, metavar=metavar, help=f"{text}, {more}")


def _add_access(made: argparse.ArgumentParser) -> None:
    """Add who may ask, and who may be asked for pictures."""
    made.add_argument(
        "--allowed-media-domains",
        metavar="LIST",
        help="hosts that pictures may be fetched from, separated by commas, each NAME or NAME:PORT; private addresses "
        "are never asked; overrides model.yaml",
    )
    made.add_argument(
        "--api-key",
        action="append",
        default=[],
        metavar="KEY",
        help="let in only callers with this key, which may have a name in front of it, as in 'alice KEY'; may be given "
        "several times; everybody on this machine can read a command line, so prefer a file [none]",
    )
    made.add_argument(
        "--api-key-file",
        type=Path,
        metavar="FILE",
        help="let in only callers with a key of this file, one a line with or without a name in front of it, "
        "and with limits of its own after it, such as requests_per_minute=60; it is read again when it changes [none]",
    )
    made.add_argument(
        "--metrics-without-key",
        action="store_true",
        help="let callers without a key read /metrics, at the HTTP port and at the port of metrics",
    )


def _add_origins(made: argparse.ArgumentParser) -> None:
    """Add which web pages may ask, by vLLM's name."""
    made.add_argument(
        "--allowed-origins",
        default="",
        metavar="LIST",
        help="origins of web pages that may ask over HTTP from a browser (CORS), separated by commas or as a JSON "
        "list; * is every one [none]",
    )


def _add_rates(made: argparse.ArgumentParser) -> None:
    """Add what one caller may ask for; the names are those in the keys' file."""
    who = "of one caller, which is its key or, without keys, its address"
    for name, text in (
        ("requests-per-minute", f"most requests for answers in any minute, {who}"),
        ("tokens-per-minute", f"tokens of prompts and answers in any minute after which it waits, {who}"),
        ("concurrent-requests", f"most requests for answers that run or wait at once, {who}"),
    ):
        made.add_argument(f"--{name}", type=count, metavar="N", help=f"{text} [no limit]")


def _add_tls(made: argparse.ArgumentParser) -> None:
    """Add what encrypts HTTP and gRPC, by the names that vLLM has."""
    for name, text in (
        ("certfile", "speak TLS alone, with this certificate and those between it and its authority, in PEM format"),
        ("keyfile", "its key, without a password [in --ssl-certfile]"),
        ("ca-certs", "authorities that callers' certificates may come from; with --ssl-cert-reqs 1 or 2"),
    ):
        made.add_argument(f"--ssl-{name}", type=Path, metavar="FILE", help=f"{text}; read again when it changes [none]")
    made.add_argument(
        "--ssl-cert-reqs",
        type=int,
        choices=CERT_REQS,
        default=NOT_ASKED,
        help="2: callers need a certificate of --ssl-ca-certs; 1: they may do without, but one that they show must be "
        "of these; 0: they are asked for none [%(default)s]",
    )


def _add_limits(made: argparse.ArgumentParser) -> None:
    """Add what bounds requests and whose they are."""
    made.add_argument(
        "--max-body-mib",
        type=mebibytes,
        default=8.0,
        metavar="MIB",
        help="largest body or message, MiB [%(default)s]",
    )
    made.add_argument(
        "--max-bodies-mib",
        type=total_mebibytes,
        default=MOST_BYTES / 2**20,
        metavar="MIB",
        help="what all bodies and messages that are being read may hold together, MiB [%(default)s]",
    )
    made.add_argument(
        "--trusted-proxies",
        default="",
        metavar="LIST",
        help="addresses or networks (10.0.0.0/8) of proxies, separated by commas, that are believed when they name "
        "their callers by X-Forwarded-For, in gRPC as metadata [none]",
    )
    made.add_argument(
        "--max-connections",
        type=count,
        default=MOST_CONNECTIONS,
        metavar="N",
        help="most HTTP connections at once, idle ones included; fewer where files are short (ulimit -n) [%(default)s]",
    )
    for name, kind, default, text in (
        ("silence", seconds, 300.0, "longest pause before and within an answer"),
        ("ready-timeout", whole_seconds, 600, "how long the server may take to start"),
        ("exit-timeout", grace, 10, "how long running requests may take to finish when the server stops"),
        ("canary-timeout", seconds, 10.0, "least time without progress after which an engine counts as stuck"),
    ):
        help_text = f"{text}, seconds [%(default)s]"
        made.add_argument(f"--{name}", type=kind, default=default, metavar="S", help=help_text)
