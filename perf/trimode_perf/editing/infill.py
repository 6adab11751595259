"""Infill against the same checkpoint asked from left to right: what is restored, what parses, the cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from trimode.api.answer import Chunk
from trimode.runtime import Runtime
from trimode.text.tokenizer import Tokenizer

from ..common.ask import Request, ask
from .hidden import Item

LONGEST = 64
"""Most tokens that are searched or written; no hidden part has more."""
WAYS = ("left_to_right_told", "left_to_right_line", "infill_told", "infill_searched")
"""From the left alone, as many tokens as are hidden or to the line's end; with both sides, the size told or not."""


def compare(
    runtime: Runtime, sets: Mapping[str, Sequence[Item]], advance: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Return a row for each set and way: how many items, exact, parsed (of Python), forwards."""
    assert runtime.tokenizer is not None
    rows = []
    for name, items in sets.items():
        sizes = [len(runtime.tokenizer.encode(item.hidden)) for item in items]
        for way in WAYS:
            requests = [_request(way, item, size, runtime.tokenizer) for item, size in zip(items, sizes, strict=True)]
            answers = ask(runtime, requests, answered=partial(advance, f"{name}, {way}")).chunks
            rows.append({"set": name, "way": way, **_count(items, answers)})
    return rows


def _request(way: str, item: Item, size: int, tokenizer: Tokenizer) -> Request:
    match way:
        case "infill_told":
            return {**item.gap(), "infill_tokens": size}
        case "infill_searched":
            return {**item.gap(), "max_tokens": LONGEST}
    before = "" if item.messages is None else tokenizer.render_chat(item.messages, enable_thinking=False)
    serial = {"text_input": before + item.left, "mode": "autoregressive"}
    if way == "left_to_right_told":
        return {**serial, "max_tokens": size}
    return {**serial, "max_tokens": LONGEST, "stop_words": ["\n"]}


def _count(items: Sequence[Item], answers: Sequence[Chunk]) -> dict[str, Any]:
    pairs = list(zip(items, answers, strict=True))
    python = [pair for pair in pairs if pair[0].parses(pair[0].hidden)]
    return {
        "asked": len(items),
        "exact": sum(answer.text == item.hidden for item, answer in pairs),
        "python": len(python),
        "parsed": sum(item.parses(answer.text) for item, answer in python),
        "forwards": sum(answer.counters.forwards for answer in answers),
    }
