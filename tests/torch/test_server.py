"""A real server on the torch engine: the three modes over HTTP give what the ONNX Runtime engine gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from trimode.config import ServerConfig
from trimode.runtime import Runtime

from tests.server.server import Server
from tests.server.wire import events, generate
from tests.torch.conftest import Linked

pytestmark = pytest.mark.subprocess

NANO = Path(__file__).parents[2] / "checkpoints" / "nano"
CHAT = {"messages": [{"role": "user", "content": "What is 23 + 2221?"}], "max_tokens": 40}
ASKED: dict[str, dict[str, Any]] = {
    "autoregressive": {**CHAT, "mode": "autoregressive"},
    "diffusion": {**CHAT, "mode": "diffusion"},
    "self-speculation": {**CHAT, "mode": "self_speculation"},
    "quadratic": {**CHAT, "mode": "self_speculation", "speculation": "quadratic", "block_length": 8},
    "auto": {**CHAT, "mode": "auto"},
    "sampled": {**CHAT, "mode": "autoregressive", "temperature": 0.8, "top_p": 0.9, "seed": 3},
    "by entropy": {**CHAT, "mode": "diffusion", "reveal": "entropy", "denoise_steps": 8},
    "log-probabilities": {**CHAT, "mode": "autoregressive", "return_log_probs": True},
    "a gap": {"text_input": "What is 23 + ", "suffix": "?", "max_tokens": 8},
}


@pytest.fixture(scope="module")
def server(linked: Linked, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("server") / "log"
    with Server(linked(NANO), log, TRIMODE_THREADS="1", TRIMODE_MAX_SLOTS="4") as made:
        yield made
    assert "runs on the processor" in log.read_text()


@pytest.fixture(scope="module")
def on_onnx(bundle_of: Callable[..., Path]) -> Iterator[Runtime]:
    with closing(Runtime.open(ServerConfig(bundle=bundle_of(NANO), threads=1, max_slots=4))) as opened:
        yield opened


@pytest.mark.parametrize("name", ASKED)
def test_an_answer_is_the_onnx_engines(name: str, server: Server, on_onnx: Runtime) -> None:
    status, answer = generate(server.http_port, ASKED[name])
    assert status == 200, answer
    assert answer["text_output"] == on_onnx.generate(ASKED[name]).text


def test_a_stream_gives_the_same_text(server: Server, on_onnx: Runtime) -> None:
    asked = ASKED["diffusion"]
    text = "".join(event["text_output"] for event in events(server.http_port, {**asked, "stream": True}))
    assert text == on_onnx.generate(asked).text
