"""`trimode health`: is the server up, is the model ready, and does it really answer."""

from __future__ import annotations

import argparse
from typing import Any

from rich.console import Console

from ..client import Client
from ..errors import UnavailableError


def add_parser(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Add this command."""
    parser = commands.add_parser("health", parents=[shared], help="is the server up and the model ready")
    parser.add_argument("--wait", type=float, metavar="S", help="wait up to S seconds until it is")
    parser.add_argument("--probe", action="store_true", help="also generate one token, which a stuck model cannot")
    parser.set_defaults(run=run)


def run(client: Client, arguments: argparse.Namespace, console: Console) -> int:
    """Print one line a question; fail when an answer is no."""
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
    if arguments.probe:
        completion = client.generate("a", mode="autoregressive", max_tokens=1, timeout=min(arguments.timeout, 30.0))
        console.print(f"{'probe':14}yes, {completion.seconds * 1000:.1f} ms")
    return 0
