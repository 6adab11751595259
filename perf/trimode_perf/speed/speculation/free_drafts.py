"""What free drafts save: a file with a few places changed, with a prediction; and texts that quote, with prompt lookup.

The file is what the model itself writes after the first lines of one, greedily; the prediction is that text with words
put in, taken out and changed. So no checkpoint has to be able to edit, and the answer is known. The modes are those of
the checkpoint that verify drafts; each request is asked with and without, in turn.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from trimode.api.answer import Chunk
from trimode.runtime import Runtime

from ...common.claims import Claim
from ...common.markdown import spread, table
from ...common.prompts import Prompt
from ...common.statistics import ratios
from .. import MODES, Context, Data, Found, Part
from ..layers import BASELINE, ask_runtime

LENGTH = 400
"""Tokens of the file, less where the capacity or the cap on answers allows no more."""
CHANGES = 5
MOST_PASSES = 0.25
"""Most that the changed file may take of the passes without a prediction."""
LEAST_SPEED = 1.5
"""Least factor by which the prediction speeds up auto there."""
FILE = '"""Queues of work, in the order in which it came."""\n\nfrom collections import deque\n\n\nclass Queue:\n'
QUOTING = (
    "Copy this sentence 4 times: The lion is grey and the boat is pink.",
    "| item | price | stock |\n| --- | --- | --- |\n| salt | 95 | 67 |\n| apples | 65 | 18 |\n| plums | 32 | 40 |\n"
    "What is the stock of apples?",
    "Summarise this text and quote two of its sentences: The harbour was built in 1820 by the town. It had two piers, "
    "and ships from the north came there for salt and fish. In 1911 a storm took the eastern pier. It was never built "
    "again, and today the ships go to the next town.",
)
"""Chats whose answers repeat parts of what was asked; nano learned the first two, larger models answer the last."""
QUOTE_TOKENS = 160
MIN_ROUNDS = 1  # after one that warms up; a file of a large checkpoint takes long


@dataclass(frozen=True)
class Task:
    """What is asked: a name, the prompt, and the fields of a request with and without free drafts."""

    name: str
    prompt: Prompt
    fields: dict[str, Any]
    drafts: dict[str, Any]


def measure(context: Context) -> dict[str, Data]:
    """Ask every task in every mode, with free drafts and without, in another order each round."""
    runtime = context.runtime
    modes = [mode for mode in MODES if mode in runtime.manifest.modes and mode != "diffusion"]
    tasks = list(tasks_of(runtime))
    calls = [(task, mode, free) for task in tasks for mode in modes for free in (False, True)]
    seconds: defaultdict[tuple[str, str, bool], list[float]] = defaultdict(list)
    last: dict[tuple[str, str, bool], Chunk] = {}
    for number, (task, mode, free) in context.pace().shuffled(calls, MIN_ROUNDS):
        fields = {**task.fields, **(task.drafts if free else {}), "mode": mode}
        chunk, taken, _ = ask_runtime(runtime, task.prompt, fields)
        last[task.name, mode, free] = chunk
        if number > 0:
            seconds[task.name, mode, free].append(taken)
    rows = []
    for task in tasks:
        for mode in modes:
            without, found = last[task.name, mode, False], last[task.name, mode, True]
            times = ratios(seconds[task.name, mode, False], seconds[task.name, mode, True])
            same = found.token_ids == last[task.name, BASELINE, False].token_ids
            rows.append({"task": task.name, "mode": mode, **_figures(without, found), "same": same, **asdict(times)})
    return {"free_drafts": {"length": rows[0]["tokens"], "changes": CHANGES, "rows": rows}}


def tasks_of(runtime: Runtime) -> Iterator[Task]:
    """Give the tasks; the first needs an answer to be known."""
    room = runtime.manifest.capacity // 2
    fields = {"max_tokens": min(LENGTH, room), "end_id": -1}
    file = Prompt("file", text=FILE)
    written = ask_runtime(runtime, file, {**fields, "mode": BASELINE})[0].text
    yield Task(f"a file, {CHANGES} places changed", file, fields, {"prediction": changed(written)})
    for number, text in enumerate(QUOTING, 1):
        prompt = Prompt("quote", messages=({"role": "user", "content": text},))
        yield Task(f"quotes {number}", prompt, {"max_tokens": min(QUOTE_TOKENS, room)}, {"prompt_lookup": True})


def changed(text: str, count: int = CHANGES) -> str:
    """Return a text with a word put in, taken out or changed at `count` places, fewer in a text of few words."""
    words = text.split(" ")
    count = min(count, len(words) // 2)
    for number in range(count):
        at = (2 * number + 1) * len(words) // (2 * count)
        words[at] = ("other", "", f"{words[at]} more")[number % 3]
    return " ".join(words)


def _figures(without: Chunk, found: Chunk) -> Data:
    counts = found.counters
    return {
        "tokens": counts.output_tokens,
        "forwards_without": without.counters.forwards,
        "forwards": counts.forwards,
        "accepted": counts.accepted_prediction_tokens + counts.accepted_prompt_lookup_tokens,
        "rejected": counts.rejected_prediction_tokens + counts.rejected_prompt_lookup_tokens,
    }


def section(found: Found) -> str:
    """Return the table of tasks and modes."""
    drafts = found["free_drafts"]
    titles = ("task", "mode", "tokens", "passes without", "passes with", "accepted", "rejected", "times as fast")
    cells: list[Sequence[object]] = [
        [*(row[name] for name in ("task", "mode", "tokens", "forwards_without", "forwards")),
         row["accepted"], row["rejected"], spread(row)]
        for row in drafts["rows"]
    ]  # fmt: skip
    return f"""## Free drafts

A file of {drafts["length"]} tokens of which {drafts["changes"]} places differ from its `prediction`, and answers that
quote, with `prompt_lookup`. Passes are those after the prompt. Accepted and rejected are the drafted tokens that cost
no pass. Times are of the same request without free drafts, in the same round; the quartiles are in brackets.

{table(titles, cells, ("task", "mode"))}
"""


def claims(found: Found) -> list[Claim]:
    """Return what must hold: the same text in all modes, and few passes for the file."""
    rows = found["free_drafts"]["rows"]
    edited = next(row for row in rows if row["mode"] == BASELINE)
    auto = next(row for row in rows if row["task"] == edited["task"] and row["mode"] == "auto")
    share = edited["forwards"] / max(1, edited["forwards_without"])
    return [
        Claim("free drafts give the autoregressive text in all modes", all(row["same"] for row in rows)),
        Claim(
            f"a file with {CHANGES} changes takes {share:.0%} of the passes without a prediction, "
            f"{MOST_PASSES:.0%} at most",
            share <= MOST_PASSES,
        ),
        Claim(
            f"auto writes it {auto['median']:.2f} times as fast with a prediction, {LEAST_SPEED:g} at least",
            auto["median"] >= LEAST_SPEED,
        ),
    ]


PART = Part(
    "free_drafts", "what predictions and prompt lookup save", ("free_drafts",), 60, measure, section, claims, apart=True
)
