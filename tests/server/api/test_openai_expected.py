"""What real clients were seen to look for in answers and errors, beyond the shapes of the openai package."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.server.server import Server
from tests.server.wire import generate, send

QUESTION: list[Any] = [{"role": "user", "content": "What is 23 + 2221?"}]
LONG = "a b " * 2100


def post(server: Server, path: str, body: dict[str, Any]) -> tuple[int, Any]:
    status, answer = send(server.http_port, "POST", path, json.dumps(body).encode())
    return status, json.loads(answer)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": LONG}]}),
        ("/v1/chat/completions", {"messages": QUESTION, "max_completion_tokens": 5000}),
        ("/v1/completions", {"prompt": LONG, "stream": True}),
        ("/v1/completions", {"prompt": "a", "max_tokens": 5000}),
        ("/v1/responses", {"input": LONG}),
    ],
)
def test_a_context_that_is_too_short_is_said_in_the_words_that_clients_look_for(
    server: Server, path: str, body: dict[str, Any]
) -> None:
    status, answer = post(server, path, body)
    assert (status, answer["error"]["code"]) == (400, "context_length_exceeded")
    message = answer["error"]["message"]
    assert "is longer than the model's context length" in message  # LiteLLM raises ContextWindowExceededError
    assert "context_length_exceeded" in message  # LangChain raises ContextOverflowError


def test_the_tokens_of_a_message_are_counted_as_they_are_charged(server: Server) -> None:
    body = {"model": "nano", "system": "Be brief.", "messages": QUESTION}
    status, counted = post(server, "/v1/messages/count_tokens", body)
    _, answer = post(server, "/v1/messages", {**body, "max_tokens": 1})
    usage = answer["usage"]
    assert (status, counted) == (200, {"input_tokens": usage["input_tokens"] + usage["cache_read_input_tokens"]})
    status, refused = post(server, "/v1/messages/count_tokens", {**body, "model": "other"})
    assert (status, refused["type"], refused["error"]["type"]) == (404, "error", "not_found_error")


@pytest.mark.parametrize("stream", [False, True])
def test_the_metrics_say_how_many_drafts_each_verification_confirmed(server: Server, stream: bool) -> None:
    mode = "self_speculation"
    _, counted = generate(server.http_port, {"messages": QUESTION, "mode": mode, "return_perf_metrics": True})
    body = {"model": f"nano:{mode}", "messages": QUESTION}
    if stream:
        more = {"stream": True, "stream_options": {"include_usage": True}}
        _, sent = send(server.http_port, "POST", "/v1/chat/completions", json.dumps({**body, **more}).encode())
        *_, last, _ = [line[6:] for line in sent.decode().splitlines() if line.startswith("data: ")]
        metrics = json.loads(last)["metrics"]
    else:
        metrics = post(server, "/v1/chat/completions", body)[1]["metrics"]
    found = metrics["speculative_decoding"]
    histogram = found["acceptance_histogram"]
    assert histogram == counted["acceptance_histogram"] and len(histogram) > 1
    assert sum(histogram) == found["num_spec_steps"] == counted["verify_forwards"]
    accepted = sum(at * count for at, count in enumerate(histogram))
    assert found["num_spec_tokens"] == counted["max_draft_tokens"] > 1
    assert 0 <= metrics["queue_time_ms"] <= metrics["time_to_first_token_ms"] <= metrics["generation_time_ms"]
    assert metrics["mean_itl_ms"] > 0
    assert accepted == found["num_accepted_draft_tokens"] == counted["total_accepted_draft_tokens"]
