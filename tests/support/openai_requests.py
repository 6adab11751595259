"""Requests to the OpenAI face of every wrong kind, and some right ones, from a seed: the same seed, the same requests.

None that is accepted takes long: an answer has a few tokens at most.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

from trimode.server.openai.shared.table import Endpoint, rows_of

PATHS: dict[Endpoint, str] = {
    "chat": "/v1/chat/completions",
    "completions": "/v1/completions",
    "fim": "/v1/fim/completions",
    "responses": "/v1/responses",
    "messages": "/v1/messages",
}
MESSAGES = [{"role": "user", "content": "What is 2 + 3?"}]
RIGHT: dict[Endpoint, list[dict[str, Any]]] = {
    "chat": [{"messages": MESSAGES}, {"messages": MESSAGES, "stream": True}],
    "completions": [
        {"prompt": "Once"},
        {"prompt": [70, 71], "stream": True},
        {"prompt": [[70], [71, 72]], "echo": True, "logprobs": 1},
        {"prompt": "a", "suffix": "b", "infill_tokens": 2},
    ],
    "fim": [{"prompt": "a", "suffix": "b", "infill_tokens": 2}, {"prompt": "Once", "stream": True}],
    "responses": [
        {"input": "What is 2 + 3?"},
        {"input": MESSAGES, "stream": True},
        {"input": MESSAGES, "tools": [{"type": "function", "name": "f"}], "tool_choice": "required"},
        {"input": "a", "text": {"format": {"type": "json_object"}}},
    ],
    "messages": [
        {"messages": MESSAGES},
        {"messages": MESSAGES, "stream": True},
        {"messages": MESSAGES, "tools": [{"name": "f", "input_schema": {}}], "tool_choice": {"type": "any"}},
        {"messages": MESSAGES, "output_config": {"format": {"type": "json_schema", "schema": {"type": "null"}}}},
    ],
}
LENGTH: dict[Endpoint, str] = {
    "chat": "max_tokens",
    "completions": "max_tokens",
    "fim": "max_tokens",
    "responses": "max_output_tokens",
    "messages": "max_tokens",
}
LONG_ANSWERS = ("max_tokens", "max_completion_tokens", "max_output_tokens", "min_tokens", "min_length", "infill_tokens",
                "max_thinking_tokens", "thinking_token_budget")  # fmt: skip
MOST_TOKENS = 4
TEXTS = ("", "a", "nano", "nano:diffusion", "auto", "diffusion", "x" * 5000, "\ud800", "🙂", "\0", "null", "1", "low",
         "<|im_end|>", "-1", "causal", "json_object", "token_id:5")  # fmt: skip
NUMBERS: tuple[Any, ...] = (0, 1, 2, -1, 3, 16, 20, 21, 128, 129, 2047, 2048, 2**31 - 1, 2**31, -(2**31), 2**63, 10**40,
                            0.0, 0.5, -0.5, 1.0, 2.0, 2.5, 1e308, -1e308, 1e-320)  # fmt: skip
NOT_JSON = ("NaN", "Infinity", "-Infinity", "1e999", "undefined", "'a'", "01", "[" * 60_000, '"\\ud800"', "{,}")


class Requests:
    """An endless supply."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def next(self) -> tuple[str, bytes]:
        """A path and a body."""
        endpoint: Endpoint = self._random.choice(list(PATHS))
        body = dict(self._random.choice(RIGHT[endpoint]))
        body[LENGTH[endpoint]] = self._random.randint(1, MOST_TOKENS)
        for _ in range(self._random.choice((0, 1, 1, 1, 2, 2, 3, 6))):
            self._change(endpoint, body)
        self._keep_short(endpoint, body)
        text = json.dumps(body)
        if self._random.random() < 0.05:
            text = self._spoiled(text)
        return PATHS[endpoint], text.encode("utf-8", "surrogatepass")

    def _change(self, endpoint: Endpoint, body: dict[str, Any]) -> None:
        """Set a field to something, mostly wrong."""
        names = sorted(rows_of(endpoint))
        ways: list[Callable[[], str]] = [
            lambda: self._random.choice(names),
            lambda: self._random.choice(names),
            lambda: self._random.choice(sorted(body)),
            lambda: self._random.choice(names)[:-1],
            lambda: self._random.choice(TEXTS),
        ]
        body[self._random.choice(ways)()] = self._value(depth=0)

    def _value(self, depth: int) -> Any:
        kinds: list[Callable[[], Any]] = [
            lambda: None,
            lambda: self._random.random() < 0.5,
            lambda: self._random.choice(NUMBERS),
            lambda: self._random.choice(TEXTS),
            lambda: self._random.randint(0, 2100),
        ]
        if depth < 4:
            kinds += [
                lambda: [self._value(depth + 1) for _ in range(self._random.randint(0, 4))],
                lambda: {self._key(): self._value(depth + 1) for _ in range(self._random.randint(0, 4))},
                lambda: [self._random.randint(0, 2047) for _ in range(self._random.choice((1, 3, 70, 400)))],
            ]
        return self._random.choice(kinds)()

    def _key(self) -> str:
        names = ("role", "content", "type", "text", "5", "70", "9999", "include_usage", "enable_thinking", "effort",
                 "name", "function", "schema", "json", "regex", "format", *TEXTS)  # fmt: skip
        return self._random.choice(names)

    def _keep_short(self, endpoint: Endpoint, body: dict[str, Any]) -> None:
        """Leave no request that would be right and take long."""
        for name in LONG_ANSWERS:
            value = body.get(name)
            if isinstance(value, int | float) and not isinstance(value, bool) and MOST_TOKENS < value < 2**31:
                body[name] = 2**31
        if isinstance(body.get("timeout_ms"), int) and not isinstance(body["timeout_ms"], bool):
            body["timeout_ms"] = max(body["timeout_ms"], 60_000) if body["timeout_ms"] > 0 else body["timeout_ms"]
        if body.get("infill_lengths") is not None:
            body["infill_lengths"] = self._random.choice(([2], [1, 3], "a", [0], [True]))
        length = LENGTH[endpoint]
        if body.get(length) is None and endpoint != "messages":
            body[length] = 2
        if body.get("max_completion_tokens") is None:
            body.pop("max_completion_tokens", None)

    def _spoiled(self, text: str) -> str:
        """What is no JSON, or no request."""
        at = self._random.randrange(len(text) + 1)
        return self._random.choice(
            (
                text[:at],
                text[:at] + self._random.choice(NOT_JSON) + text[at:],
                text.replace("2", self._random.choice(NOT_JSON), 1),
                text[:-1] + ', "model": "nano", "model": "nano"}',
                f"[{text}]",
                text + text,
                "",
            )
        )
