"""The `trimode` command as its own process against the real server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.server.sdk import run
from tests.server.server import Server

SHORT = ("--max-tokens", "12", "--no-enable-thinking")


def test_generate_prints_the_answer(server: Server) -> None:
    shown = json.loads(run(server, "generate", "hello", *SHORT, "--json").stdout)
    assert run(server, "generate", "hello", *SHORT).stdout == shown["text"] + "\n"


def test_a_streamed_answer_is_the_same(server: Server) -> None:
    streamed = run(server, "generate", "-", *SHORT, "--stream", text="hello\n")
    assert streamed.stdout == run(server, "generate", "hello", *SHORT).stdout


def test_http_answers_the_same(server: Server) -> None:
    over_http = ("--protocol", "http", "--url", f"127.0.0.1:{server.http_port}")
    shown = run(server, "generate", "hello", *SHORT, *over_http)
    assert shown.stdout == run(server, "generate", "hello", *SHORT).stdout


def test_compare_finds_self_speculation_equal_to_autoregressive(server: Server) -> None:
    shown = run(server, "compare", "hello", "--max-tokens", "12", "--repeat", "1", "--json")
    same = {row["mode"]: row["same_text"] for row in json.loads(shown.stdout)}
    assert same["self_speculation"]


def test_compare_prints_a_row_per_mode(server: Server) -> None:
    lines = run(server, "compare", "hello", "--max-tokens", "12", "--repeat", "1").stdout.splitlines()
    assert [line.split()[0] for line in lines[-5:-1]] == ["auto", "autoregressive", "diffusion", "self_speculation"]


def test_chat_answers_every_line(server: Server) -> None:
    shown = run(server, "chat", "--max-tokens", "8", text="hello\n/mode diffusion\nagain\n")
    assert "auto: " in shown.stdout
    assert "diffusion: " in shown.stdout


def test_health_probes_the_model(server: Server) -> None:
    assert "probe         yes" in run(server, "health", "--probe").stdout


def test_what_the_server_refuses_is_code_2(server: Server) -> None:
    shown = run(server, "generate", "hello", "--mode", "autoregressive", "--steps", "4", check=False)
    assert (shown.returncode, shown.stdout) == (2, "")
    assert shown.stderr.startswith("trimode: not_applicable: denoise_steps applies to mode")


@pytest.mark.parametrize("streaming", [["--stream"], []], ids=["stream", "at once"])
def test_interrupting_ends_at_once_and_cancels(server: Server, streaming: list[str]) -> None:
    server.settle()
    before = server.metric("trimode_requests_total", outcome="cancelled")
    long = ["--mode", "autoregressive", "--max-tokens", "1500", "--end-id", "-1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "trimode_client", "generate", "hello", *long, *streaming],
        env={**os.environ, "TRIMODE_URL": f"127.0.0.1:{server.grpc_port}"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 20
    while not server.metric("trimode_requests_running") and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, complaints = process.communicate(timeout=20)
    assert (process.returncode, complaints) == (130, b"")
    server.wait_metric("trimode_requests_total", before + 1, outcome="cancelled")
