"""What a schema costs and gives: the held-out JSON tasks, free and held to the schema of their answers.

Counts, and processor time: that of the loop's own thread inside grammars against that inside passes, so that other
processes hardly matter. What a stamp costs, well under a microsecond, counts as the grammar's.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from trimode.decoding.guide import Guide
from trimode.requests import generate
from trimode.runtime import Runtime

from ..common.claims import Claim
from ..common.markdown import table
from ..common.prompts import Prompt, load
from . import Context, Data, Found, Part

PER_DOMAIN = 20
KINDS = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}
MODES: dict[str, dict[str, Any]] = {
    "autoregressive": {"mode": "autoregressive"},
    "diffusion": {"mode": "diffusion"},
    "self_speculation": {"mode": "self_speculation"},
    "self_speculation, quadratic": {"mode": "self_speculation", "speculation": "quadratic"},
}
DRAWN = {"temperature": 1.0, "seed": 0}
ALL_CHOSEN = {"return_log_probs": True, "top_log_probs": 1}
"""With these every token is chosen by a pass, what is dictated too."""
GUIDE_OF = "guide_of"
"""What requests/generate.py makes a guide with."""
MOST_SHARE = 0.03
"""Most that grammars may take against the passes."""
Counts = dict[str, float]


class _Clock:
    """Seconds of processor time of the loop's thread, in grammars and in passes."""

    def __init__(self) -> None:
        self.guide = self.run = 0.0

    def around(self, call: Callable[..., Any], stage: str) -> Callable[..., Any]:
        """Return `call`, timed if it is a pass."""

        def timed(*args: Any, **kwargs: Any) -> Any:
            began = time.thread_time()
            try:
                return call(*args, **kwargs)
            finally:
                self.run += time.thread_time() - began

        return timed if stage == "run" else call


class _TimedGuide:
    """A guide whose every use is timed."""

    def __init__(self, guide: Guide, clock: _Clock) -> None:
        self._guide, self._clock = guide, clock

    def __getattr__(self, name: str) -> Any:
        began = time.thread_time()
        value = getattr(self._guide, name)
        self._clock.guide += time.thread_time() - began
        if not callable(value):
            return value

        def timed(*args: Any) -> Any:
            began = time.thread_time()
            try:
                return value(*args)
            finally:
                self._clock.guide += time.thread_time() - began

        return timed


@contextmanager
def timed_guides(clock: _Clock) -> Iterator[None]:
    """Inside the block, time the guides of all requests that are made."""
    make = vars(generate)[GUIDE_OF]

    def made(*args: Any) -> Any:
        guide = make(*args)
        return None if guide is None else _TimedGuide(guide, clock)

    setattr(generate, GUIDE_OF, made)
    try:
        yield
    finally:
        setattr(generate, GUIDE_OF, make)


def schema_of(value: object) -> Data:
    """Return a schema of values like `value`: its keys, all required, in its order, and their values' types."""
    if isinstance(value, dict):
        properties = {name: schema_of(one) for name, one in value.items()}
        return {"type": "object", "properties": properties, "required": [*value], "additionalProperties": False}
    if isinstance(value, list):
        return {"type": "array", "items": {"anyOf": [schema_of(one) for one in value]} if value else {}}
    return {"type": KINDS[type(value)]}


def tasks(prompts: Sequence[Prompt]) -> list[tuple[Prompt, object]]:
    """Return the prompts whose answer is a JSON object, and the object."""
    found: list[tuple[Prompt, object]] = []
    for prompt in prompts:
        try:
            value = json.loads(prompt.answer or "")
        except ValueError:
            continue
        if isinstance(value, dict):
            found.append((prompt, value))
    return found


def measure(context: Context) -> dict[str, Data]:
    """Return counts by mode and way of asking; nothing where no held-out answer is JSON."""
    asked = tasks(load(context.heldout, PER_DOMAIN))
    if not asked:
        return {}
    ways: dict[str, dict[str, Any]] = {"free": {}, "held": {}, "all chosen": ALL_CHOSEN, "drawn": DRAWN}
    modes: dict[str, dict[str, Counts]] = {}
    for number, (mode, fields) in enumerate(MODES.items()):
        modes[mode] = {}
        for at, (way, more) in enumerate(ways.items()):
            given = {**fields, **more, "max_tokens": context.options.max_tokens}
            modes[mode][way] = ask_all(context.runtime, asked, given, held=way != "free")
            context.progress((number + (at + 1) / len(ways)) / len(MODES))
    return {"grammar": {"tasks": len(asked), "max_tokens": context.options.max_tokens, "modes": modes}}


def ask_all(runtime: Runtime, asked: Sequence[tuple[Prompt, object]], given: Data, *, held: bool) -> Counts:
    """Ask for every task; return the counts of all, and the share of grammars against passes."""
    clock, seen = _Clock(), Counter[str]()
    with timed_guides(clock), runtime.traced(clock.around):
        for prompt, value in asked:
            schema = json.dumps(schema_of(value))
            form = {"guided_decoding_guide_type": "json_schema", "guided_decoding_guide": schema} if held else {}
            answer = runtime.generate({**prompt.fields, **given, **form})
            counts = answer.counters
            seen["tokens"] += counts.output_tokens
            seen["forwards"] += counts.forwards
            seen["drafted"] += counts.total_draft_tokens
            seen["accepted"] += counts.total_accepted_draft_tokens
            seen["right"] += prompt.answered_by(answer.text)
            seen["objects"] += _is_object(answer.text)
    return {**{name: float(seen[name]) for name in NAMES}, "share": clock.guide / clock.run if clock.run else 0.0}


NAMES = ("tokens", "forwards", "drafted", "accepted", "right", "objects")


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def section(found: Found) -> str:
    """Return what a schema changes."""
    grammar = found["grammar"]
    count, titles = grammar["tasks"], ("mode", "right", "tokens a forward", "passes saved", "drafts accepted", "share")
    rows = []
    for mode, ways in grammar["modes"].items():
        free, held = ways["free"], ways["held"]
        saved = ways["all chosen"]["forwards"] - held["forwards"]
        rows.append([
            mode,
            f"{free['right']:.0f} → {held['right']:.0f}",
            f"{_per_forward(free):.2f} → {_per_forward(held):.2f}",
            f"{saved:.0f} of {ways['all chosen']['forwards']:.0f}",
            f"{_accepted(free)} → {_accepted(held)}",
            f"{held['share']:.1%}, drawn {ways['drawn']['share']:.1%}",
        ])  # fmt: skip
    return f"""## What a schema costs and gives

{count} held-out tasks whose answer is a JSON object, greedy, free → held to the schema of the answer (keys, their order
and types). *Passes saved* are those that dictated tokens save, against the same requests with every token chosen by a
pass. Drafts follow the schema. A free answer has an end token more, which drafts foresee: so more of them are accepted.
*Share* is the processor time of the loop's thread in grammars against that in passes, greedy and drawn at
temperature 1, with at most {grammar["max_tokens"]} tokens.

{table(titles, rows)}
"""


def _per_forward(counts: Mapping[str, float]) -> float:
    return counts["tokens"] / counts["forwards"]


def _accepted(counts: Mapping[str, float]) -> str:
    return f"{counts['accepted'] / counts['drafted']:.2f}" if counts["drafted"] else "-"


def claims(found: Found) -> list[Claim]:
    """Return that a schema makes no answer worse, and that grammars take little."""
    made = []
    for mode, ways in found["grammar"]["modes"].items():
        free, held = ways["free"]["right"], ways["held"]["right"]
        made.append(Claim(f"in {mode} a schema keeps {free:.0f} right answers: {held:.0f}", held >= free))
        count = found["grammar"]["tasks"]
        made.append(Claim(f"in {mode} {held_objects(ways):.0f} of {count} are objects", held_objects(ways) == count))
        share = max(ways["held"]["share"], ways["drawn"]["share"])
        text = f"in {mode} grammars take {share:.1%} of the time of passes, {MOST_SHARE:.0%} at most"
        made.append(Claim(text, share <= MOST_SHARE))
    return made


def held_objects(ways: Mapping[str, Mapping[str, float]]) -> float:
    """Return how many answers under the schema are objects, greedy or drawn, whichever are fewer."""
    return min(ways["held"]["objects"], ways["drawn"]["objects"])


PART = Part("grammar", "what a schema costs and gives", ("grammar",), 60, measure, section, claims, fixed=True)
