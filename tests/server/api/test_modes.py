"""A real server with a checkpoint that was not trained to denoise: what it has, what it refuses, and who says so."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from trimode.api.tensors import MODES
from trimode_client import AsyncClient

from tests.server.refusals import refused, refused_over_grpc
from tests.server.sdk import Protocol, client, protocols, run, url
from tests.server.server import Server
from tests.server.wire import PATH, generate, send
from tests.support import llama_checkpoints as factory

CAUSAL = ("auto", "autoregressive")
ASKED: dict[str, Any] = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 12, "end_id": -1}
REFUSED: tuple[dict[str, Any], ...] = (
    {"text_input": "a", "mode": "diffusion"},
    {"text_input": "a", "mode": "self_speculation"},
    {"text_input": "a", "suffix": "b"},
    {"text": "a b"},
    {"text_input": "a", "denoise_steps": 2},
    {"text_input": "a", "auto_allow": ["diffusion"]},
)


@pytest.fixture(scope="module")
def causal(bundle_of: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("causal")
    with Server(bundle_of(factory.write_gguf(folder / "causal.gguf")), folder / "log", TRIMODE_THREADS="1") as made:
        yield made


def test_auto_gives_the_autoregressive_text(causal: Server) -> None:
    (_, auto), (_, single) = (generate(causal.http_port, {**ASKED, "mode": mode}) for mode in CAUSAL)
    assert auto["text_output"] == single["text_output"] != ""


def test_the_config_names_the_modes(causal: Server) -> None:
    status, body = send(causal.http_port, "GET", f"{PATH}/config")
    assert (status, json.loads(body)["parameters"]) == (200, {MODES: {"string_value": ",".join(CAUSAL)}})


@protocols
def test_health_names_the_modes(causal: Server, protocol: Protocol) -> None:
    async def ask() -> tuple[str, ...]:
        async with AsyncClient(url(causal, protocol), protocol) as asking:
            return (await asking.health()).modes

    with client(causal, protocol) as asking:
        assert asking.health().modes == asyncio.run(ask()) == CAUSAL


@protocols
def test_a_model_with_all_modes_says_so(server: Server, protocol: Protocol) -> None:
    with client(server, protocol) as asking:
        assert set(asking.health().modes) == {*CAUSAL, "diffusion", "self_speculation"}


@pytest.mark.parametrize("request_", REFUSED, ids=str)
def test_what_needs_a_denoiser_is_refused_by_name(causal: Server, request_: dict[str, Any]) -> None:
    message = refused(causal, request_, "not_applicable")
    assert "which this checkpoint does not have: it was trained to predict the next token" in message
    assert refused_over_grpc(causal, request_, "not_applicable") == message


def test_the_command_line_shows_the_modes_and_compares_those(causal: Server) -> None:
    assert "modes         auto, autoregressive\n" in run(causal, "health").stdout
    compared = json.loads(run(causal, "compare", "hello", "--repeat", "1", "--max-tokens", "4", "--json").stdout)
    assert [row["mode"] for row in compared] == list(CAUSAL)


def test_the_log_says_what_there_is(causal: Server) -> None:
    assert "modes auto and autoregressive only" in causal.log.read_text()
