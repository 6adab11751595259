"""`trimode health`: whether the server is up and the model ready, and with --probe whether the model answers."""

from __future__ import annotations

import argparse
from typing import Any

from rich.console import Console

from ..client import Client
from ..errors import UnavailableError

_PROBE_SECONDS = 30.0  # for one token; a model that needs longer is stuck or of no use


def add_parser(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Add this command."""
    parser = commands.add_parser("health", parents=[shared], help="say whether the server is up and the model ready")
    parser.add_argument("--wait", type=float, metavar="S", help="wait up to S seconds until they are")
    parser.add_argument("--probe", action="store_true", help="also generate one token, which a stuck model cannot do")
    parser.set_defaults(run=run)


def run(client: Client, arguments: argparse.Namespace, console: Console) -> int:
    """Print one line for each question; fail if an answer is no."""
    if arguments.wait is not None:
        client.wait_until_ready(arguments.wait)
    state = client.health()
    for name, answer in (
        ("server live", state.live),
        ("server ready", state.ready),
        ("model ready", state.model_ready),
    ):
        console.print(f"{name:14}{'yes' if answer else 'no'}")
    if not state.ok:
        raise UnavailableError(f"requests cannot be sent: {state.reason}")
    if state.modes:
        console.print(f"{'modes':14}{', '.join(state.modes)}")
    if arguments.probe:
        timeout = min(arguments.timeout, _PROBE_SECONDS)
        completion = client.generate(text_input="a", mode="autoregressive", max_tokens=1, timeout=timeout)
        console.print(f"{'probe':14}yes, {completion.seconds * 1000:.1f} ms")
    return 0
