"""What comes after `--` on the command line: options of tritonserver, but for those that this server sets itself."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

_LISTENS = "tritonserver listens for trimode-serve alone; callers are met by --host, --http-port and their like"
_TLS = "callers are met with TLS by --ssl-certfile and --ssl-keyfile"
_MODEL = "--model-repository and --bundle say what is served"
_LOG = "use --log-format and --log-level; --log-verbose is tritonserver's own"
_HEALTH = "trimode-serve decides when the server is ready and when it ends"
OWNED = {
    **dict.fromkeys(("model-repository", "model-store", "model-control-mode", "load-model"), _MODEL),
    **dict.fromkeys(("repository-poll-secs", "disable-auto-complete-config", "strict-model-config"), _MODEL),
    **dict.fromkeys((f"allow-{face}" for face in ("http", "grpc", "metrics", "sagemaker", "vertex-ai")), _LISTENS),
    **dict.fromkeys(
        (f"{face}-{part}" for face in ("http", "grpc", "metrics") for part in ("address", "port")), _LISTENS
    ),
    **dict.fromkeys(
        ("reuse-http-port", "reuse-grpc-port", "http-restricted-api", "grpc-restricted-protocol"), _LISTENS
    ),
    **dict.fromkeys(("sagemaker-port", "sagemaker-safe-port-range", "vertex-ai-port"), _LISTENS),
    **dict.fromkeys(("grpc-use-ssl", "grpc-use-ssl-mutual"), _TLS),
    **dict.fromkeys(("grpc-server-cert", "grpc-server-key", "grpc-root-cert"), _TLS),
    "grpc-infer-response-compression-level": "trimode-serve reads answers as they are",
    **dict.fromkeys(("log-info", "log-warning", "log-error", "log-format", "log-file"), _LOG),
    **dict.fromkeys(("exit-on-error", "exit-timeout-secs", "strict-readiness"), f"{_HEALTH}; use --exit-timeout"),
    "backend-directory": "trimode-serve finds the backend that fits this Python; TRITONSERVER_BIN names another server",
}
"""Options that are refused, and what to use instead. tritonserver takes the beginning of a name for the name."""
OWNED_OF_PYTHON = ("shm-region-prefix-name", "stub-timeout-seconds")
"""What `--backend-config=python,NAME=VALUE` may not set."""
MARK = "--"


def split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the arguments before the first `--`, and those after it."""
    if MARK not in arguments:
        return list(arguments), []
    at = list(arguments).index(MARK)
    return list(arguments[:at]), list(arguments[at + 1 :])


def check_triton_options(given: Sequence[str]) -> tuple[str, ...]:
    """Return what tritonserver gets.

    Raises:
        argparse.ArgumentTypeError: an option is this server's, or the first argument is none.
    """
    if given and not given[0].startswith("-"):
        raise argparse.ArgumentTypeError(
            f"after -- come options of tritonserver, which begin with --, got {given[0]!r}"
        )
    for argument in given:
        if not argument.startswith("-") or argument == "-":
            continue  # the value of the option in front of it
        name = argument.lstrip("-").partition("=")[0]
        for owned, instead in OWNED.items():
            if name and owned.startswith(name):
                raise argparse.ArgumentTypeError(f"--{name} of tritonserver is set by trimode-serve: {instead}")
        if name in ("h", "help"):
            raise argparse.ArgumentTypeError("ask tritonserver itself for its help")
    for argument in given:
        option, _, value = argument.partition("=")
        setting = value if "--backend-config".startswith(option) else argument
        for owned in OWNED_OF_PYTHON:
            if setting.startswith(f"python,{owned}="):
                raise argparse.ArgumentTypeError(f"--backend-config=python,{owned} is set by trimode-serve itself")
    return tuple(given)
