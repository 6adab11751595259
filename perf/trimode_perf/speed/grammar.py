"""What a schema costs and gives: the held-out JSON tasks, free and held to the schema of their answers.

Counts, and processor time: that of the loop's own thread inside grammars against that inside passes, so that other
processes hardly matter.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

from trimode.decoding import choice
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
GUIDE_OF, ONLY_ALLOWED = "guide_of", "only_allowed"
"""What requests/generate.py makes a guide with, and decoding/choice.py applies a mask with."""
MASKS = ("allowed", "look_ahead")
"""What a guide makes masks with."""
MOST_SHARE = 0.03
"""Most that masks may take against the passes. The loop waits for all of it: none is made while a pass runs."""
Counts = dict[str, float]


class _Clock:
    """Seconds of processor time of the loop's thread: in grammars, in those their masks alone, and in passes.

    What reading the clock takes, some half of a microsecond, is taken off.
    """

    def __init__(self) -> None:
        self.guide = self.masks = self.run = 0.0
        began = [time.thread_time() for _ in range(1_000)]
        self._reading = min(after - before for before, after in pairwise(began))

    def since(self, began: float) -> float:
        """Return the time from `began` on."""
        return max(0.0, time.thread_time() - began - self._reading)

    def around(self, call: Callable[..., Any], stage: str) -> Callable[..., Any]:
        """Return `call`, timed if it is a pass."""

        def timed(*args: Any, **kwargs: Any) -> Any:
            began = time.thread_time()
            try:
                return call(*args, **kwargs)
            finally:
                self.run += self.since(began)

        return timed if stage == "run" else call

    def of_guide(self, call: Callable[..., Any], *, masks: bool) -> Callable[..., Any]:
        """Return `call`, timed as a grammar's; what other calls inside of it were timed with is not counted twice."""

        def timed(*args: Any) -> Any:
            inside, masked, began = self.guide, self.masks, time.thread_time()
            try:
                return call(*args)
            finally:
                seconds = self.since(began)
                self.guide = inside + seconds
                self.masks = masked + seconds if masks else self.masks

        return timed


class _TimedGuide:
    """A guide whose every use is timed."""

    def __init__(self, guide: Guide, clock: _Clock) -> None:
        self._guide, self._clock = guide, clock

    def __getattr__(self, name: str) -> Any:
        value = self._clock.of_guide(lambda: getattr(self._guide, name), masks=False)()
        return self._clock.of_guide(value, masks=name in MASKS) if callable(value) else value


@contextmanager
def timed_guides(clock: _Clock) -> Iterator[None]:
    """Inside the block, time the guides of all requests that are made, and where their masks meet logits."""
    make, apply = vars(generate)[GUIDE_OF], vars(choice)[ONLY_ALLOWED]

    def made(*args: Any) -> Any:
        guide = make(*args)
        return None if guide is None else _TimedGuide(guide, clock)

    setattr(generate, GUIDE_OF, made)
    setattr(choice, ONLY_ALLOWED, clock.of_guide(apply, masks=True))
    try:
        yield
    finally:
        setattr(generate, GUIDE_OF, make)
        setattr(choice, ONLY_ALLOWED, apply)


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
    """Ask for every task; return the counts of all, and the shares of masks and of grammars against passes."""
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
    spent = {"masks": clock.masks / clock.run, "share": clock.guide / clock.run}
    return {**{name: float(seen[name]) for name in NAMES}, **spent}


NAMES = ("tokens", "forwards", "drafted", "accepted", "right", "objects")


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def section(found: Found) -> str:
    """Return what a schema changes."""
    grammar = found["grammar"]
    count = grammar["tasks"]
    titles = ("mode", "right", "tokens a forward", "passes saved", "drafts accepted", "masks", "grammar")
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
            *(f"{held[name]:.1%}, drawn {ways['drawn'][name]:.1%}" for name in ("masks", "share")),
        ])  # fmt: skip
    return f"""## What a schema costs and gives

{count} held-out tasks whose answer is a JSON object, greedy, free → held to the schema of the answer (keys, their order
and types). *Passes saved* are those that dictated tokens save, against the same requests with every token chosen by a
pass. Drafts follow the schema. A free answer has an end token more, which drafts foresee: so more of them are accepted.
*Masks* is the processor time that the loop's thread takes to make masks and to apply them, between passes, against
that of the passes, greedy and drawn at temperature 1, with at most {grammar["max_tokens"]} tokens: a greedy choice that
fits needs no mask. *Grammar* is all that it takes for the grammar, masks included: whether choices fit, what is
dictated, and whether the text can still end in time. A step waits for all of this; a pass of nano is short.

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
        share = max(ways["held"]["masks"], ways["drawn"]["masks"])
        text = f"in {mode} masks take {share:.1%} of the time of passes, {MOST_SHARE:.0%} at most"
        made.append(Claim(text, share <= MOST_SHARE))
    return made


def held_objects(ways: Mapping[str, Mapping[str, float]]) -> float:
    """Return how many answers under the schema are objects, greedy or drawn, whichever are fewer."""
    return min(ways["held"]["objects"], ways["drawn"]["objects"])


PART = Part(
    "grammar", "what a schema costs and gives", ("grammar",), 60, measure, section, claims, fixed=True, apart=True
)
