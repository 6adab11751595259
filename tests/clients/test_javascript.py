"""Clients for JavaScript: the openai package, the AI SDK and Continue's adapter, each as a program of node/."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.clients.clients import ANSWER, KEY, LEFT, LONG, MODES, QUESTION, RIGHT, ClientsServer, questions

NODE = Path(__file__).parent / "node"
PROGRAMS = ("openai", "ai-sdk", "continue")
MODE = "self_speculation"
ASKED = [{"role": "user", "content": questions(3)[1]}]
Found = Callable[[str], dict[str, Any]]


@pytest.fixture(scope="module")
def found(server: ClientsServer, locked: ClientsServer) -> Found:
    """Return what runs a program, once, and gives what came of each of its cases."""
    if shutil.which("node") is None:
        pytest.skip("there is no node here: install Node.js 20 or newer for the clients of JavaScript")
    if not (NODE / "node_modules").exists():
        pytest.skip("the clients of JavaScript are not installed: make test-clients installs them")
    given = {
        "base": server.base, "origin": server.origin, "locked": locked.base, "key": KEY, "model": f"nano:{MODE}",
        "messages": ASKED, "question": QUESTION, "left": LEFT, "right": RIGHT, "long": LONG,
    }  # fmt: skip

    @cache
    def run(program: str) -> dict[str, Any]:
        environment = {**os.environ, "GIVEN": json.dumps(given), "AI_SDK_TELEMETRY_DISABLED": "1"}
        done = subprocess.run(
            ["node", f"{program}.mjs"], cwd=NODE, env=environment, capture_output=True, text=True, timeout=240
        )
        assert done.returncode == 0, done.stderr
        result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return result

    return run


def value(found: Found, program: str, case: str) -> Any:
    """Return the value of a case."""
    result = found(program)[case]
    assert "value" in result, result
    return result["value"]


@pytest.mark.parametrize(
    ("program", "case"),
    [*((program, case) for program in PROGRAMS for case in ("chat", "stream", "known")), ("openai", "helper")],
)
def test_a_chat_is_what_generate_gives(server: ClientsServer, found: Found, program: str, case: str) -> None:
    assert value(found, program, case) == server.generate(messages=ASKED, mode=MODE, max_tokens=160)


@pytest.mark.parametrize("program", PROGRAMS[:2])
def test_seed_stop_and_our_own_fields_count(server: ClientsServer, found: Found, program: str) -> None:
    expected = server.generate(
        messages=ASKED, mode="diffusion", denoise_steps=6, temperature=0.9, seed=7, stop_words=["write"], max_tokens=160
    )
    assert value(found, program, "sampled") == expected


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_plain_text_goes_on(server: ClientsServer, found: Found, program: str) -> None:
    text = "user:\nOnce upon\n\nassistant:\n" if program == "ai-sdk" else "Once upon"  # the SDK's form of a prompt
    expected = server.generate(text_input=text, mode=MODE, max_tokens=12)
    assert value(found, program, "completion") == expected


@pytest.mark.parametrize(
    ("program", "case"), [("openai", "suffix"), ("continue", "suffix"), ("continue", "suffixWithStops")]
)
def test_a_suffix_asks_for_the_gap(server: ClientsServer, found: Found, program: str, case: str) -> None:
    assert value(found, program, case) == server.generate(text_input=LEFT, suffix=RIGHT, max_tokens=8)


@pytest.mark.parametrize("program", ["openai", "continue"])
def test_the_models_are_listed(found: Found, program: str) -> None:
    assert value(found, program, "models") == ["nano", *(f"nano:{mode}" for mode in MODES[1:])]


@pytest.mark.parametrize("program", PROGRAMS[:2])
def test_a_thought_comes_apart(found: Found, program: str) -> None:
    message = value(found, program, "thought")
    assert message["content"] == ANSWER and "carry" in message["reasoning_content"]


def is_weather(found: Any) -> bool:
    return set(found) == {"city", "unit"} and isinstance(found["city"], str) and found["unit"] in ("C", "F")


def test_objects_have_the_schema_of_the_request(found: Found) -> None:
    whole = value(found, "ai-sdk", "object")
    assert is_weather(whole)
    assert value(found, "ai-sdk", "objectStreamed") == value(found, "ai-sdk", "output") == whole


def test_tools_are_called_and_their_results_go_back(found: Found) -> None:
    calls = value(found, "ai-sdk", "tools")
    assert calls and all(call["toolName"] == "weather" and is_weather(call["input"]) for call in calls)
    assert value(found, "ai-sdk", "toolsStreamed") == calls
    steps = value(found, "ai-sdk", "steps")
    assert [step["finishReason"] for step in steps] == ["tool-calls"] * 2
    assert steps[0]["results"] == [f"Sunny in {call['input']['city']}." for call in calls]


def test_usage_log_probabilities_and_responses_come(found: Found) -> None:
    usage = value(found, "openai", "usage")
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 0
    assert value(found, "ai-sdk", "usage") == {
        "inputTokens": usage["prompt_tokens"], "outputTokens": usage["completion_tokens"],
    }  # fmt: skip
    assert value(found, "openai", "logprobs") is True
    assert value(found, "openai", "responses").endswith(ANSWER)


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize(
    ("case", "status", "message"),
    [
        ("unknownModel", 404, "The model `other` does not exist"),
        ("badValue", 400, "temperature must be between 0 and 2, got 3"),
        ("tooLong", 400, "longer than the model's context length"),
        ("embeddings", 404, "/v1/embeddings is not served here"),
        ("stranger", 401, "API key"),
    ],
)
def test_errors_have_its_classes(found: Found, program: str, case: str, status: int, message: str) -> None:
    types = {404: "NotFoundError", 400: "BadRequestError", 401: "AuthenticationError"}
    error = found(program)[case]["error"]
    assert (error["status"], error["type"]) == (status, "APICallError" if program == "ai-sdk" else types[status])
    assert message in error["message"]


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_stream_that_is_left_ends_its_work(server: ClientsServer, found: Found, program: str) -> None:
    assert value(found, program, "left") is True
    assert server.metric("trimode_requests_total", outcome="cancelled", mode="autoregressive") >= 1
