"""Sixteen conversations of ten turns, had at once and each alone: the same ids, what the prefix cache gave, memory.

`.venv/bin/python -m scripts.conversations BUNDLE ...`. Starts no server: the runtime is opened in this process.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
from trimode.bundle.manifest import Manifest
from trimode.config import ServerConfig
from trimode.runtime import Runtime

CONVERSATIONS, ANSWER = 16, 24  # ANSWER in tokens
PREFIX_MIB = 1024  # for the keys and values of all conversations; a token of SmolLM2 takes 46 KB
TOPICS = ("the sea", "bread", "trains", "the moon", "cats", "gardens", "snow", "music", "maps", "clocks", "bridges",
          "bees", "rivers", "books", "colours", "numbers")  # fmt: skip
ASKED = (
    "Tell me one thing about {}.", "Tell me another thing.", "Say that again in fewer words.", "Why is that so?",
    "Give an example.", "What is the opposite of that?", "Who would like that?", "When does that happen?",
    "Name three words that go with {}.", "Thank you. Say goodbye.",
)  # fmt: skip


def conversations(bundle: Path, answer: int = ANSWER) -> dict[str, Any]:
    """Hold each of sixteen conversations, had at once, to the same one had alone; answers of so many tokens."""
    alone, before = _talk(bundle, answer, at_once=False)
    together, after = _talk(bundle, answer, at_once=True)
    turns = [(one, two) for a, b in zip(alone, together, strict=True) for one, two in zip(a, b, strict=True)]
    same = sum(one == two for one, two in turns)
    return {"turns": len(turns), "same_ids": same, "alone": before, "at_once": after}


def _talk(bundle: Path, answer: int, *, at_once: bool) -> tuple[list[list[tuple[int, ...]]], dict[str, Any]]:
    """Return the ids of every turn of every conversation, and what all of them took."""
    runtime = Runtime.open(ServerConfig(bundle=bundle, prefix_cache_mib=PREFIX_MIB))
    process, began = psutil.Process(), time.perf_counter()
    try:
        with ThreadPoolExecutor(CONVERSATIONS if at_once else 1) as pool:
            ids = list(pool.map(lambda topic: _conversation(runtime, topic, answer), TOPICS))
        stats = runtime.stats()
        facts = {
            "seconds": round(time.perf_counter() - began, 1),
            "prompt_tokens": stats.prompt_tokens,
            "cached_tokens": stats.cached_tokens,
            "cached_share": round(stats.cached_tokens / max(stats.prompt_tokens, 1), 3),
            "prefix_cache_mib": round(stats.prefix_bytes / 2**20),
            "resident_mib": round(process.memory_info().rss / 2**20),
        }
        return ids, facts
    finally:
        runtime.close()


def _conversation(runtime: Runtime, topic: str, tokens: int) -> list[tuple[int, ...]]:
    messages: list[dict[str, str]] = []
    turns = []
    for question in ASKED:
        messages.append({"role": "user", "content": question.format(topic)})
        answer = runtime.generate({"messages": list(messages), "max_tokens": tokens, "seed": 1})
        messages.append({"role": "assistant", "content": answer.text})
        turns.append(tuple(answer.token_ids))
    return turns


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures of each bundle as JSON."""
    parser = argparse.ArgumentParser(prog="python -m scripts.conversations", description=__doc__)
    parser.add_argument("bundles", nargs="+", type=Path, metavar="BUNDLE")
    for bundle in parser.parse_args(arguments).bundles:
        found = {"bundle": bundle.name, "precision": Manifest.load(bundle).precision, **conversations(bundle)}
        print(json.dumps(found, indent=2), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
