"""The figures of checkpoints/smol/README.md: perplexity, logits, sixteen conversations at once, and seconds a token.

`.venv/bin/python -m scripts.smol_figures perplexity|logits|conversations|speed BUNDLE ...`; logits are compared with
those of the first bundle. Needs the bundles that
`make build MODEL=smol` makes, and starts no server: the runtime is opened in this process.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray
from trimode.bundle.manifest import Manifest
from trimode.config import ServerConfig
from trimode.runtime import Runtime
from trimode.text.tokenizer import Tokenizer
from trimode_convert.verify.passes import BundleRunner, Pass

ROOT = Path(__file__).resolve().parents[1]
TEXTS = {
    "prose": ("docs/modes.md", "docs/auto.md", "docs/operations.md", "docs/internals/design-notes.md"),
    "code": ("python_backend/trimode/runtime.py", "python_backend/trimode/scheduling/scheduler.py",
             "python_backend/trimode/auto/chooser.py", "convert/trimode_convert/graph/model.py"),
}  # fmt: skip
"""What the model cannot have seen: this repository's own pages and code, which are younger than it."""
WINDOW, CHUNK = 1024, 256  # tokens: of a text that is scored, and of a call
CONVERSATIONS, TURNS, ANSWER = 16, 10, 24  # ANSWER in tokens
PREFIX_MIB = 1024  # for the keys and values of all conversations; a token of SmolLM2 takes 46 KB
TOPICS = ("the sea", "bread", "trains", "the moon", "cats", "gardens", "snow", "music", "maps", "clocks", "bridges",
          "bees", "rivers", "books", "colours", "numbers")  # fmt: skip
ASKED = (
    "Tell me one thing about {}.", "Tell me another thing.", "Say that again in fewer words.", "Why is that so?",
    "Give an example.", "What is the opposite of that?", "Who would like that?", "When does that happen?",
    "Name three words that go with {}.", "Thank you. Say goodbye.",
)  # fmt: skip
SPEED_PROMPT, SPEED_TOKENS, REPEATS = "Explain what a hash table is.", 64, 3


def perplexity(bundle: Path, _: Path) -> dict[str, Any]:
    """Return the perplexity of each kind of text, in windows without overlap."""
    runner = BundleRunner(bundle, threads=2)
    found: dict[str, Any] = {}
    for kind, names in TEXTS.items():
        loss, count = 0.0, 0
        for name in names:
            ids, passes = _passes(bundle, name)
            for step, logits in zip(passes, runner.run(passes), strict=True):
                wide = logits.astype(np.float64)
                top = wide.max(-1)
                total = top + np.log(np.exp(wide - top[:, None]).sum(-1))
                right = ids[step.start + 1 : step.start + 1 + len(step.tokens)]
                loss += float((total - wide[np.arange(len(right)), right]).sum())
                count += len(right)
        found[kind] = {"perplexity": round(math.exp(loss / count), 4), "tokens": count}
    return found


def logits(bundle: Path, reference: Path) -> dict[str, Any]:
    """Return how far the logits of the first text of each kind are from the reference's.

    The relative RMS is also given with each row's mean taken away, since only differences choose a token.
    """
    runners = [BundleRunner(folder, threads=2) for folder in (bundle, reference)]
    off, whole, level, same, rows = 0.0, 0.0, 0.0, 0, 0
    off_level = 0.0
    for names in TEXTS.values():
        _, passes = _passes(bundle, names[0])
        for ours, theirs in zip(*(runner.run(passes) for runner in runners), strict=True):
            difference = ours.astype(np.float64) - theirs
            off += float((difference**2).sum())
            whole += float((theirs.astype(np.float64) ** 2).sum())
            off_level += float(((difference - difference.mean(-1, keepdims=True)) ** 2).sum())
            level += float(((theirs - theirs.mean(-1, keepdims=True, dtype=np.float64)) ** 2).sum())
            same += int((ours.argmax(-1) == theirs.argmax(-1)).sum())
            rows += len(ours)
    return {
        "reference": reference.name,
        "rows": rows,
        "relative_rms": round(math.sqrt(off / whole), 4),
        "relative_rms_without_means": round(math.sqrt(off_level / level), 4),
        "same_best_token": round(same / rows, 4),
    }


def _passes(bundle: Path, name: str) -> tuple[NDArray[np.int64], list[Pass]]:
    """Return the ids of a text's first window, and the causal passes that read it."""
    tokenizer = Tokenizer.load(bundle)
    assert tokenizer is not None
    ids = np.array(tokenizer.encode((ROOT / name).read_text(encoding="utf-8"))[: WINDOW + 1], dtype=np.int64)
    starts = range(0, len(ids) - 1, CHUNK)
    cuts = [ids[start : min(start + CHUNK, len(ids) - 1)] for start in starts]
    return ids, [Pass("", cut, start, causal=True, keep=True) for start, cut in zip(starts, cuts, strict=True)]


def conversations(bundle: Path, _: Path, answer: int = ANSWER) -> dict[str, Any]:
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


def speed(bundle: Path, _reference: Path) -> dict[str, Any]:
    """Return milliseconds a token, one request at a time and several at once; medians."""
    runtime = Runtime.open(ServerConfig(bundle=bundle))
    asked = {"messages": [{"role": "user", "content": SPEED_PROMPT}], "max_tokens": SPEED_TOKENS, "end_id": -1}
    found: dict[str, Any] = {}
    try:
        for rows in (1, 2, 4, 8, 16):
            times = []
            for _ in range(1 + REPEATS):  # the first one warms up
                began = time.perf_counter()
                with ThreadPoolExecutor(rows) as pool:
                    list(pool.map(lambda _: runtime.generate(asked), range(rows)))
                times.append(time.perf_counter() - began)
            seconds = median(times[1:])
            per_token = 1000 * seconds / SPEED_TOKENS
            found[str(rows)] = {"ms_a_step": round(per_token, 2), "tokens_a_second": round(1000 * rows / per_token, 1)}
    finally:
        runtime.close()
    return found


PARTS: dict[str, Callable[[Path, Path], dict[str, Any]]] = {
    "perplexity": perplexity,
    "logits": logits,
    "conversations": conversations,
    "speed": speed,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures of each bundle as JSON."""
    parser = argparse.ArgumentParser(prog="python -m scripts.smol_figures", description=__doc__)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("bundles", nargs="+", type=Path, metavar="BUNDLE")
    options = parser.parse_args(arguments)
    for bundle in options.bundles:
        found = {
            "bundle": bundle.name,
            "precision": Manifest.load(bundle).precision,
            **PARTS[options.part](bundle, options.bundles[0]),
        }
        print(json.dumps(found, indent=2), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
