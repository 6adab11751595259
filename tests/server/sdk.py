"""The SDK and the `trimode` command, aimed at the test's server."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Literal

import pytest
from trimode_client import Client

from tests.server.server import Server

PROMPT = "Once upon a time there was"
Protocol = Literal["grpc", "http"]
protocols = pytest.mark.parametrize("protocol", ["grpc", "http"])


def url(server: Server, protocol: Protocol) -> str:
    return f"127.0.0.1:{server.grpc_port if protocol == 'grpc' else server.http_port}"


def client(server: Server, protocol: Protocol) -> Client:
    return Client(url(server, protocol), protocol, timeout=60.0)


def run(server: Server, *arguments: str, text: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "trimode_client", *arguments],
        env={**os.environ, "TRIMODE_URL": f"127.0.0.1:{server.grpc_port}"},
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=check,
    )
