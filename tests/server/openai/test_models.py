"""Names of models, facts of the server, and tokens, over the real server."""

from __future__ import annotations

import json

import openai
import pytest
from openai.types import Model

from tests.server.openai.asking import MODES, QUESTION, post
from tests.server.server import Server
from tests.server.wire import send


def test_each_mode_is_a_model(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["nano", *(f"nano:{mode}" for mode in MODES[1:])]
    found = client.models.retrieve("nano:diffusion")
    assert isinstance(found, Model) and found.owned_by == "trimode"
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("gpt-x")
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


def test_tokens_and_text(server: Server) -> None:
    _, found = post(server, "/tokenize", {"prompt": "hello 🙂", "return_token_strs": True})
    assert found["count"] == len(found["tokens"]) == len(found["token_strs"]) and found["max_model_len"] == 2048
    assert post(server, "/detokenize", {"tokens": found["tokens"]}) == (200, {"prompt": "hello 🙂"})

    _, chat = post(server, "/tokenize", {"messages": QUESTION})
    _, answer = post(server, "/v1/chat/completions", {"messages": QUESTION, "max_tokens": 1})
    assert chat["count"] == answer["usage"]["prompt_tokens"]


def test_what_the_tokenizer_is(server: Server) -> None:
    status, body = send(server.http_port, "GET", "/tokenizer_info")
    said = json.loads(body)
    assert (status, said["tokenizer_class"], said["eos_token"]) == (200, "PreTrainedTokenizerFast", "<|im_end|>")
    assert said["added_tokens_decoder"]["1"] == "<s>" and "messages" in said["chat_template"]


def test_health_version_and_metrics(server: Server) -> None:
    assert send(server.http_port, "GET", "/health") == (200, b"")
    assert [send(server.http_port, "GET", f"/v1/health/{name}")[0] for name in ("live", "ready")] == [200, 200]
    assert json.loads(send(server.http_port, "GET", "/version")[1])["version"]
    status, text = send(server.http_port, "GET", "/metrics")
    assert status == 200 and b"trimode_requests_total" in text
