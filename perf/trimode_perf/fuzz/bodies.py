"""Bodies of requests by chance: fields of the table with good and bad values, well-known bodies that are damaged.

Everything follows from a random.Random, so a seed makes the same requests again. Sends nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from trimode.api.field import Field
from trimode.api.fields import FIELDS, PROMPT_FIELDS

MOST_TOKENS = 4
"""Of an answer: the checks are tried here, not the decoding, so requests that are valid ask for little."""
BOUND: dict[str, Any] = {"max_tokens": MOST_TOKENS, "timeout_ms": 20_000, "mode": "autoregressive"}
ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 7, 2**31 - 1, 2**31, -(2**63), 2**64, 10**400, 0.0, -0.5, 1e-9, 1.5, 1e308,
    "", " ", "a", "\0", "\n", "é", "😀", "\ud800", "x" * 300, "NaN", "null", "[]", "{}", "<|im_start|>", "../../etc",
    [], [None], [[]], [1, 2, 3], ["a", "b"], [{}], [0] * 40, {}, {"a": 1}, {"role": "user", "content": "hi"},
    [{"role": "user", "content": "hi"}], [{"role": "tool"}], ["a", {}], [{"infill_tokens": 2}], {"type": "json_object"},
)  # fmt: skip
"""Values at the edges of what a field may be, and of other kinds."""
CHAT = [{"role": "user", "content": "What is 23 + 2221?"}]
OPENAI: dict[str, tuple[dict[str, Any], Sequence[str]]] = {
    "/v1/chat/completions": ({"model": "nano", "messages": CHAT, "max_tokens": 4}, ("messages", "stop", "tools", "n")),
    "/v1/completions": ({"model": "nano", "prompt": "Once", "max_tokens": 4}, ("prompt", "suffix", "logprobs", "echo")),
    "/v1/responses": ({"model": "nano", "input": "Hi", "max_output_tokens": 4}, ("input", "text", "reasoning")),
    "/v1/messages": ({"model": "nano", "messages": CHAT, "max_tokens": 4}, ("messages", "system", "tools")),
    "/v1/messages/count_tokens": ({"model": "nano", "messages": CHAT}, ("messages", "system")),
    "/tokenize": ({"prompt": "Once upon"}, ("prompt", "messages", "add_special_tokens")),
    "/detokenize": ({"tokens": [5, 6, 7]}, ("tokens",)),
}
"""A good body for each path of OpenAI's face, and fields that are worth a bad value."""
SHARED = (
    "temperature",
    "top_p",
    "seed",
    "stream",
    "stream_options",
    "response_format",
    "tool_choice",
    "logit_bias",
    "user",
)
"""Fields that most of them have."""


def fields_of(draw: Random) -> dict[str, Any]:
    """Return a request to generate: one prompt or several, and some fields, most of them with values that fit."""
    chosen = draw.sample(FIELDS, draw.choice((0, 1, 1, 2, 3, 6, 20)))
    made: dict[str, Any] = dict(BOUND)
    prompts = draw.choice(
        (("text_input",), ("input_ids",), ("messages",), PROMPT_FIELDS[:2], (), ("segments",), ("text",))
    )
    for name in prompts:
        made[name] = _prompt(name, draw)
    for field in chosen:
        made[field.name] = value_of(field, draw)
    if isinstance(made.get("max_tokens"), int) and made["max_tokens"] > MOST_TOKENS:
        made["max_tokens"] = MOST_TOKENS
    return made


def value_of(field: Field, draw: Random) -> Any:
    """Return a value for a field: one that fits, one at its edge, or any other."""
    if draw.random() < 0.4:
        return draw.choice(ODD)
    low = 0 if field.low is None else field.low
    high = low + 10 if field.high is None else field.high
    makers: dict[str, Callable[[], Any]] = {
        "int": lambda: draw.choice((int(low), int(high), int(low) - 1, int(high) + 1, int(low) + 1)),
        "float": lambda: draw.choice((low, high, low - 1, high + 1, draw.uniform(low, high))),
        "bool": lambda: draw.random() < 0.5,
        "string": lambda: draw.choice((*field.choices, "other")),
        "strings": lambda: [draw.choice((*field.choices, "a", "", "b" * 30)) for _ in range(draw.randrange(4))],
        "ints": lambda: [draw.choice((int(low), int(high), 5, 300)) for _ in range(draw.randrange(6))],
        "json": lambda: draw.choice(ODD),
        "object": lambda: draw.choice(ODD),
    }
    return makers[field.kind]()


def openai_body(path: str, draw: Random) -> dict[str, Any]:
    """Return a body for a path of OpenAI's face, some of whose values are others."""
    good, own = OPENAI[path]
    made = dict(good)
    for name in draw.sample((*own, *SHARED, "max_tokens", "unknown"), draw.choice((0, 1, 1, 2, 4))):
        made[name] = draw.choice(ODD)
    for name in ("max_tokens", "max_output_tokens", "n"):
        given = made.get(name)
        unlimited = given is None and name in good  # null is no limit, and the answer would take the whole context
        if unlimited or (isinstance(given, int) and given > MOST_TOKENS):
            made[name] = MOST_TOKENS
    return made


def encoded(body: dict[str, Any], draw: Random) -> bytes:
    """Return the bytes of a body, one time in six damaged."""
    text = json.dumps(body, ensure_ascii=draw.random() < 0.5).encode("utf-8", "surrogatepass")
    return damaged(text, draw) if draw.random() < 1 / 6 else text


def damaged(data: bytes, draw: Random) -> bytes:
    """Return bytes of which some are gone, others, doubled or new."""
    made = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 8))):
        at = draw.randrange(len(made) + 1)
        match draw.randrange(5):
            case 0:
                del made[at : at + draw.randrange(1, 9)]
            case 1:
                made[at:at] = bytes(draw.randrange(256) for _ in range(draw.randrange(1, 5)))
            case 2:
                made[at:at] = made[at : at + 20]
            case 3 if at < len(made):
                made[at] ^= 1 << draw.randrange(8)
            case _:
                made[at:at] = draw.choice((b"NaN", b"[" * 40, b'{"a":', b"1e999", b"\xff\xfe", b'"', b"\\u0000", b"}"))
    return bytes(made)


def _prompt(name: str, draw: Random) -> Any:
    makers: dict[str, Callable[[], Any]] = {
        "text_input": lambda: draw.choice(("Once", "", "é" * draw.randrange(40), "<|im_start|>user")),
        "input_ids": lambda: [draw.randrange(300, 2000) for _ in range(draw.choice((1, 3, 40)))],
        "messages": lambda: draw.choice((CHAT, json.dumps(CHAT), [*CHAT, {"role": "assistant", "content": "2"}])),
        "segments": lambda: ["Once ", {"infill_tokens": 2}, draw.choice((" a time.", ""))],
        "text": lambda: "It was a dark nigth.",
    }
    return makers[name]()
