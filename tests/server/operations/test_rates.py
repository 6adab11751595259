"""A server whose keys have limits, over every face: who is refused, what it hears, and when it is served again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import openai
import pytest
from trimode.errors import RateLimitedError as TokensUsed
from trimode.errors import seconds_to_wait
from trimode.triton.token_budgets import TokenBudgets
from trimode_client import Client
from trimode_client.errors import RateLimitedError

from tests.server.sdk import PROMPT, Protocol, protocols
from tests.server.server import Server, wait_until
from tests.server.wire import PATH, GrpcStream, ask, events, send

SECRETS = {
    name: f"{name}-0123456789abcdef"
    for name in ("free", "two-http", "two-grpc", "two-sdk-http", "two-sdk-grpc", "two-openai", "one", "tokens")
}
LIMITS = {"one": "concurrent_requests=1", "tokens": "tokens_per_minute=20"}
SHORT: dict[str, Any] = {"text_input": PROMPT, "max_tokens": 2}
LONG: dict[str, Any] = {"text_input": PROMPT, "max_tokens": 900, "mode": "autoregressive", "end_id": -1}


@pytest.fixture(scope="module")
def limited(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("limited")
    keys = folder / "keys"
    lines = [
        f"{name} {secret} {LIMITS.get(name, 'requests_per_minute=2' if 'two' in name else 'requests_per_minute=none')}"
        for name, secret in SECRETS.items()
    ]
    keys.write_text("\n".join(lines), encoding="utf-8")
    with Server(
        *(bundle, folder / "log", "--api-key-file", str(keys), "--exit-timeout", "4"),
        *("--requests-per-minute", "1000", "--metrics-without-key"),
    ) as made:
        yield made


def bearer(name: str) -> dict[str, Any]:
    return {"Authorization": f"Bearer {SECRETS[name]}"}


def client(server: Server, protocol: str, key: str, **options: Any) -> Client:
    port = server.grpc_port if protocol == "grpc" else server.http_port
    return Client(f"{protocol}://127.0.0.1:{port}", api_key=SECRETS[key], **options)


def generate(server: Server, key: str, **fields: Any) -> tuple[int, str]:
    status, body = send(server.http_port, "POST", f"{PATH}/generate", json.dumps(fields).encode(), **bearer(key))
    return status, body.decode()


def test_http_refuses_the_third_request_of_a_minute(limited: Server) -> None:
    assert generate(limited, "two-http", **SHORT)[0] == 200
    assert generate(limited, "two-http", max_tokens=-1)[0] == 400  # counts too
    status, body = generate(limited, "two-http", **SHORT)
    error = json.loads(body)["error"]
    assert status == 429
    assert error.startswith("rate_limited: requests_per_minute must be at most 2, got 3; again in ")
    assert 0 < (seconds_to_wait(error) or 0) <= 60
    answer = ask(limited.http_port, "GET", f"{PATH}/ready")
    assert answer.status == 401  # questions do not count, and need a key as ever
    assert send(limited.http_port, "GET", "/v1/models", **bearer("two-http"))[0] == 200


def test_grpc_counts_each_message_of_a_stream(limited: Server) -> None:
    heard = []
    with GrpcStream(limited.grpc_port, authorization=f"Bearer {SECRETS['two-grpc']}") as stream:
        for _ in range(3):
            stream.send(SHORT)
            heard.append(list(stream.answers()))
    assert "rate_limited" not in str(heard[:2])
    assert "rate_limited: requests_per_minute must be at most 2, got 3; again in " in str(heard[2])


@protocols
def test_the_sdk_says_when_to_ask_again(limited: Server, protocol: Protocol) -> None:
    with client(limited, protocol, f"two-sdk-{protocol}", retries=0) as asking:
        for _ in range(2):
            asking.generate(**SHORT)
        with pytest.raises(RateLimitedError) as caught:
            asking.generate(**SHORT)
    assert caught.value.error_type == "rate_limited" and caught.value.retryable
    assert caught.value.retry_after is not None and 0 < caught.value.retry_after <= 60


def test_openais_package_hears_a_rate_limit_with_its_headers(limited: Server) -> None:
    base = f"http://127.0.0.1:{limited.http_port}/v1"
    with openai.OpenAI(base_url=base, api_key=SECRETS["two-openai"], max_retries=0) as asking:
        for stream in (False, True):
            asking.completions.create(model="nano", prompt=PROMPT, max_tokens=2, stream=stream)
        with pytest.raises(openai.RateLimitError) as caught:
            asking.completions.create(model="nano", prompt=PROMPT, max_tokens=2)
    assert caught.value.type == "rate_limit_error" and caught.value.code == "rate_limited"
    seconds = int(caught.value.response.headers["retry-after"])
    assert 0 < seconds <= 60
    assert caught.value.response.headers["retry-after-ms"] == str(1000 * seconds)
    chat = json.dumps({"model": "nano", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2}).encode()
    status, body = send(limited.http_port, "POST", "/v1/messages", chat, **bearer("two-openai"))
    assert status == 429 and json.loads(body)["error"]["type"] == "rate_limit_error"


def test_one_request_at_once_is_one_over_all_faces_and_its_end_makes_room(limited: Server) -> None:
    """A caller that leaves makes room as one whose answer is complete does."""
    for protocol in ("grpc", "http"):
        with client(limited, protocol, "one", retries=0) as asking:
            stream = asking.stream(**LONG)
            next(iter(stream))
            status, body = generate(limited, "one", **SHORT)
            assert status == 429 and "concurrent_requests must be at most 1, got 2; again in 1 s" in body
            stream.close()
            wait_until(lambda: generate(limited, "one", **SHORT)[0] == 200, lambda: limited.log.read_text())
    assert generate(limited, "one", **SHORT)[0] == 200


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_tokens_of_prompts_and_answers_count_over_all_faces(limited: Server, protocol: str) -> None:
    """The first request is answered whole; whoever had as many tokens as its rate then waits."""
    with client(limited, protocol, "tokens", retries=0) as asking:
        if protocol == "grpc":
            assert asking.generate(text_input=PROMPT, max_tokens=30, end_id=-1).num_output_tokens == 30
        with pytest.raises(RateLimitedError, match=r"tokens_per_minute must be at most 20, got [0-9]+; again in") as at:
            asking.generate(**SHORT)
    assert at.value.retry_after is not None and 0 < at.value.retry_after <= 60
    status, body = generate(limited, "tokens", **SHORT)
    assert status == 429 and seconds_to_wait(json.loads(body)["error"])


def test_a_caller_without_a_limit_is_served_all_the_while(limited: Server) -> None:
    assert {generate(limited, "free", **SHORT)[0] for _ in range(5)} == {200}


def test_without_keys_an_address_has_the_limits(bundle: Path, tmp_path: Path) -> None:
    with Server(bundle, tmp_path / "log", "--concurrent-requests", "1", "--trusted-proxies", "127.0.0.1") as server:
        stream: Any = events(server.http_port, {**LONG, "stream": True})
        with closing(stream):
            next(stream)
            request = json.dumps(SHORT).encode()
            assert send(server.http_port, "POST", f"{PATH}/generate", request)[0] == 429
            other = send(server.http_port, "POST", f"{PATH}/generate", request, X_Forwarded_For="192.0.2.9")
            assert other[0] == 200


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_budget_is_for_one_caller_and_one_minute() -> None:
    budgets = TokenBudgets(clock := Clock())
    budgets.check("a", 100)
    budgets.use("a", 60)
    clock.now = 30
    budgets.check("a", 100)
    budgets.use("a", 90)  # more than was left: what an answer takes is not known before
    budgets.check("b", 100)
    with pytest.raises(TokensUsed, match=r"^tokens_per_minute must be at most 100, got 150; again in 30 s$"):
        budgets.check("a", 100)
    clock.now = 60
    budgets.check("a", 100)
    clock.now = 200
    budgets.use("b", 1)
    assert set(budgets._used) == {"b"}  # of a nothing counts any more
