"""What the command line of the server refuses before anything is started."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from trimode.errors import ServeError
from trimode.server import cli
from trimode.server.launch.options import parser

CHECKPOINT = Path(__file__).parents[3] / "checkpoints" / "nano"


@pytest.mark.parametrize("second", ["--grpc-port", "--metrics-port"])
def test_two_faces_cannot_have_one_port(second: str) -> None:
    options = parser().parse_args(["--http-port", "8123", second, "8123"])
    with pytest.raises(ServeError, match=r"each needs a port of its own, got --http-port 8123"):
        cli.settle_ports(options)


def test_ports_of_the_servers_choice_are_three() -> None:
    options = parser().parse_args(["--http-port", "0", "--grpc-port", "0", "--metrics-port", "0"])
    cli.settle_ports(options)
    assert len({options.http_port, options.grpc_port, options.metrics_port, 0}) == 4


def test_the_page_is_named_at_the_start_unless_it_is_left_out(tmp_path: Path) -> None:
    manifest = SimpleNamespace(model="m", precision="float32", capacity=64, denoises=True)
    models: list[Any] = [SimpleNamespace(manifest=manifest, bundle=tmp_path)]  # what it reads of one
    shown = cli.banner(parser().parse_args([]), models)
    assert "http://127.0.0.1:8000/playground/#example" in shown
    assert "playground" not in cli.banner(parser().parse_args(["--no-playground"]), models)


def test_of_several_models_each_has_a_line(tmp_path: Path) -> None:
    manifests = [SimpleNamespace(model=name, precision="int8", capacity=64, denoises=True) for name in "ab"]
    names = [SimpleNamespace(names=SimpleNamespace(names=(name,))) for name in ("a", "org/b")]
    models: list[Any] = [
        SimpleNamespace(manifest=manifest, bundle=tmp_path, facts=facts)
        for manifest, facts in zip(manifests, names, strict=True)
    ]
    lines = cli.banner(parser().parse_args([]), models, ["nemotron_diffusion", "org-b"]).splitlines()
    assert lines[:2] == [
        "ready: a (int8, up to 64 tokens) as a, nemotron_diffusion",
        "ready: b (int8, up to 64 tokens) as org/b, org-b",
    ]
    assert any("/v2/models/MODEL/generate" in line for line in lines)


def test_the_first_model_that_fails_ends_the_others_and_says_why() -> None:
    ended: list[str] = []

    async def lasting() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("lasting")

    async def failing() -> None:
        await asyncio.sleep(0)
        raise ServeError("b: it cannot start")

    async def short() -> None:
        ended.append("short")

    with pytest.raises(ServeError, match="b: it cannot start"):
        asyncio.run(cli.together([lasting(), short(), failing()]))
    assert ended == ["short", "lasting"]


def test_one_body_is_not_larger_than_all_together() -> None:
    options = parser().parse_args(["--max-body-mib", "300"])
    with pytest.raises(ServeError, match="--max-bodies-mib must be at least --max-body-mib, 300, got 256"):
        cli.limits_of(options)
    limits = cli.limits_of(parser().parse_args(["--max-body-mib", "2", "--max-bodies-mib", "2.5"]))
    assert (limits.body_bytes, limits.bodies.most_bytes) == (2 * 2**20, 5 * 2**19)


INTERRUPTED = """
import importlib, os, signal, sys
from trimode.server import __main__
class Finder:
    def find_spec(self, name, *_):
        if name == "trimode.server.cli":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
__main__.main()
"""
STOPPED = """
import os, signal, sys
from trimode.server import cli
from trimode.server.launch import served
def prepare(*_):
    os.kill(os.getpid(), signal.{name})
    return real(*_)
real, served.Launch.prepare = served.Launch.prepare, prepare
sys.exit(cli.main(["--bundle", sys.argv[1], "--http-port", "0", "--grpc-port", "0", "--metrics-port", "0"]))
"""


def test_an_interruption_while_the_server_is_imported_ends_it_without_a_traceback() -> None:
    ended = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (-signal.SIGINT, "", "")


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_before_tritonserver_is_started_ends_the_server_in_order(
    tmp_path: Path, bundle_of: Callable[..., Path], name: str
) -> None:
    command = [sys.executable, "-c", STOPPED.format(name=name), str(bundle_of(CHECKPOINT))]
    ended = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "TMPDIR": str(tmp_path)})
    assert (ended.returncode, ended.stdout) == (0, ""), ended.stderr
    assert "Traceback" not in ended.stderr
    assert list(tmp_path.iterdir()) == []
