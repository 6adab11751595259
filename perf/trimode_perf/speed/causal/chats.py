"""What the prefix cache gives a chat: the same conversations with it and without, turn by turn, one at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import asdict, replace
from typing import Any

from trimode.runtime import Runtime

from ...common.ask import Answer, ask
from ...common.claims import Claim
from ...common.markdown import spread, table
from ...common.statistics import Spread, ratios
from .. import Context, Data, Found, Part

TOPICS = ("the sea", "bread", "trains", "the moon")
TURNS = (
    "Tell me about {}.", "Tell me another thing about {}.", "Say that again in fewer words.", "Why is that so?",
    "Give an example.", "What would a child ask about {}?", "Answer that question.", "Thank you. Say goodbye.",
)  # fmt: skip
TOKENS = 48
CACHE_MIB = 1024
"""Room for every conversation."""
LEAST = 0.5
"""Least share of the prompts' tokens, over all turns, that must be found in the cache."""


def measure(context: Context) -> dict[str, Data]:
    """Open the bundle with a prefix cache and without, and hold every conversation with both."""
    with ExitStack() as stack:
        config = replace(context.config, bundle=context.options.bundle.resolve())
        runtimes = {
            on: stack.enter_context(closing(Runtime.open(replace(config, prefix_cache_mib=mib))))
            for on, mib in ((True, CACHE_MIB), (False, 0))
        }
        return {"chats": hold(runtimes, context.progress)}


def hold(runtimes: dict[bool, Runtime], progress: Callable[[float], None]) -> Data:
    """Return what each turn took with the cache (True) and then without (False), over all conversations."""
    turns: defaultdict[int, list[Data]] = defaultdict(list)
    held, same = 0, True
    _ask_each(runtimes, [{"role": "user", "content": "Hello."}])  # warms up
    for topic in TOPICS:
        messages: list[dict[str, str]] = []
        for number, question in enumerate(TURNS):
            messages.append({"role": "user", "content": question.format(topic)})
            before = runtimes[True].stats()
            answers = _ask_each(runtimes, messages)
            after = runtimes[True].stats()
            same &= answers[True].chunk.token_ids == answers[False].chunk.token_ids
            turns[number].append(
                {
                    "prompt": after.prompt_tokens - before.prompt_tokens,
                    "cached": after.cached_tokens - before.cached_tokens,
                    **{name: 1000 * answers[on].first_seconds for name, on in (("with", True), ("without", False))},
                }
            )
            messages.append({"role": "assistant", "content": answers[True].chunk.text})
        held += 1
        progress(held / len(TOPICS))
    stats = runtimes[True].stats()
    rows = [{"turn": number + 1, **_row(taken)} for number, taken in sorted(turns.items())]
    share = stats.cached_tokens / stats.prompt_tokens
    facts = {"conversations": held, "same_ids": same, "hit_rate": share, "cache_mib": stats.prefix_bytes / 2**20}
    return {**facts, "tokens": TOKENS, "rows": rows}


def _ask_each(runtimes: dict[bool, Runtime], messages: list[dict[str, str]]) -> dict[bool, Answer]:
    request: dict[str, Any] = {"messages": list(messages), "max_tokens": TOKENS, "stream": True}
    request["return_token_ids"] = True
    return {on: ask(runtime, [request]).answers[0] for on, runtime in runtimes.items()}


def _row(taken: list[Data]) -> Data:
    times = {name: [one[name] for one in taken] for name in ("with", "without")}
    return {
        **{name: Spread.of([one[name] for one in taken]).median for name in ("prompt", "cached")},
        **{f"{name}_milliseconds": asdict(Spread.of(own)) for name, own in times.items()},
        "times_sooner": asdict(ratios(times["without"], times["with"])),
    }


def section(found: Found) -> str:
    """Return the turns."""
    chats = found["chats"]
    titles = ("turn", "prompt tokens", "of these cached", "first token ms, with", "without", "times as soon")
    rows = [
        [
            *(row["turn"], f"{row['prompt']:.0f}", f"{row['cached']:.0f}"),
            *(spread(row[f"{name}_milliseconds"], 0) for name in ("with", "without")),
            spread(row["times_sooner"], 1),
        ]
        for row in chats["rows"]
    ]
    same = "yes" if chats["same_ids"] else "NO"
    return f"""## A chat with the prefix cache and without

{chats["conversations"]} conversations of {len(chats["rows"])} turns, in process, at most {chats["tokens"]} tokens an answer; a turn with the cache, then the
same without. {chats["hit_rate"]:.0%} of the prompts' tokens were found in the cache, which held {chats["cache_mib"]:.0f} MiB at the end. Same ids: {same}.

{table(titles, rows)}
"""  # noqa: E501


def claims(found: Found) -> list[Claim]:
    """Return that the cache changes no answer and finds the conversation."""
    chats = found["chats"]
    return [
        Claim("answers with the prefix cache have the ids of those without", chats["same_ids"]),
        Claim(
            f"{chats['hit_rate']:.0%} of a chat's tokens come from the prefix cache, {LEAST:.0%} at least",
            chats["hit_rate"] >= LEAST,
        ),
    ]


PART = Part("chats", "a chat with the prefix cache", ("chats",), 60, measure, section, claims, fixed=True)
