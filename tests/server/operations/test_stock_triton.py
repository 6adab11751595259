"""Triton alone, without trimode-serve: what docs/operations.md says of `tritonserver --model-repository=...`."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from trimode.server.installation import find
from trimode.server.shared_memory import clear_shm

from tests.server.server import free_ports, wait_until
from tests.server.wire import GrpcStream, generate, send, text_of

ROOT = Path(__file__).parents[3]
SHM_PREFIX = f"stock{os.getpid()}_"
CHAT = [{"role": "user", "content": "What is 23 + 2221?"}]
READY_SECONDS = 120.0


@dataclass(frozen=True)
class Stock:
    """A tritonserver that runs by itself."""

    process: subprocess.Popen[bytes]
    http: int
    grpc: int
    log: Path

    def ready(self) -> bool:
        with suppress(OSError):
            return send(self.http, "GET", "/v2/health/ready")[0] == 200
        return False


@pytest.fixture(scope="module")
def stock(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stock]:
    folder = tmp_path_factory.mktemp("stock")
    installation = find(folder)
    http, grpc, metrics = free_ports(3)
    command = [
        *(str(installation.binary), *installation.options, f"--model-repository={ROOT / 'model_repository'}"),
        *(f"--http-port={http}", f"--grpc-port={grpc}", f"--metrics-port={metrics}", "--exit-timeout-secs=1"),
        f"--backend-config=python,shm-region-prefix-name={SHM_PREFIX}",
    ]
    environment = {**installation.environment, "TRIMODE_BUNDLE": str(bundle), "TRIMODE_LOG_LEVEL": "debug"}
    log = folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=out, start_new_session=True)
    made = Stock(process, http, grpc, log)
    try:
        wait_until(lambda: made.ready() or process.poll() is not None, log.read_text, READY_SECONDS)
        assert process.poll() is None, log.read_text()
        yield made
    finally:
        children = psutil.Process(process.pid).children() if process.poll() is None else []
        process.kill()
        process.wait()
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.kill()
        clear_shm(SHM_PREFIX)


def answer(stock: Stock, **fields: Any) -> dict[str, Any]:
    status, found = generate(stock.http, {"mode": "autoregressive", "max_tokens": 16, **fields})
    assert status == 200, found
    return found


def test_it_answers_over_http(stock: Stock) -> None:
    assert "2244" in answer(stock, messages=json.dumps(CHAT), max_tokens=160)["text_output"]


def test_messages_may_be_a_list_of_json_texts(stock: Stock) -> None:
    conversation = [*CHAT, {"role": "assistant", "content": "2244"}, {"role": "user", "content": "What is 2 + 2?"}]
    for messages in (CHAT, conversation):
        listed = answer(stock, messages=[json.dumps(message) for message in messages])
        assert listed["text_output"] == answer(stock, messages=json.dumps(messages))["text_output"]


def test_messages_may_be_a_list_over_grpc(stock: Stock) -> None:
    whole = answer(stock, messages=json.dumps(CHAT))["text_output"]
    with GrpcStream(stock.grpc) as stream:
        stream.send({"mode": "autoregressive", "max_tokens": 16, "messages": [json.dumps(one) for one in CHAT]})
        assert text_of(list(stream.answers())) == whole


def test_the_model_checks_what_the_front_would(stock: Stock) -> None:
    status, found = generate(stock.http, {"messages": json.dumps(CHAT), "temperature": -1.0})
    assert status >= 400 and "invalid_value: temperature" in found["error"]


def test_the_models_lines_are_in_its_log_and_have_the_id(stock: Stock) -> None:
    answer(stock, messages=json.dumps(CHAT), id="order-17")
    wait_until(lambda: "[order-17]: ended with " in stock.log.read_text(), stock.log.read_text)


def test_what_the_front_adds_is_missing(stock: Stock) -> None:
    assert send(stock.http, "GET", "/v1/models")[0] in (400, 404)
    assert send(stock.http, "GET", "/playground/")[0] in (400, 404)
    assert send(stock.http, "POST", "/v2/repository/index", b"{}")[0] == 200  # anybody may administer it
