"""What an adapter gives that teaches a frozen model to draft: tokens a pass and a cycle, hits by place, speed.

The prompts are those that the adapter's training held out, with HumanEval's beside them. Every prompt is asked once in
every way, the ways in an order of its own, one at a time, in float32 and, if it is there, in int8. Ratios pair the
seconds of one prompt.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

from trimode.api.answer import Chunk
from trimode.api.counters import Counters
from trimode.bundle.manifest import DRAFTING_MODES, Manifest
from trimode.runtime import Runtime

from ...common.claims import Claim
from ...common.markdown import spread, table
from ...common.plots import figure
from ...common.progress import Pace
from ...common.prompts import HELD_OUT, Prompt, load
from ...common.results import read
from ...common.statistics import ratios
from ...quality.prompts import problems
from .. import Context, Data, Found, Part
from ..layers import BASELINE, ask_runtime

SPECULATION = "self_speculation"
WAYS: dict[str, dict[str, Any]] = {
    BASELINE: {"mode": BASELINE},
    "linear 8": {"mode": SPECULATION, "speculation": "linear", "block_length": 8},
    "linear 4": {"mode": SPECULATION, "speculation": "linear", "block_length": 4},
    "quadratic 3": {"mode": SPECULATION, "speculation": "quadratic", "block_length": 3},
    "quadratic 2": {"mode": SPECULATION, "speculation": "quadratic", "block_length": 2},
    "auto": {"mode": "auto"},
}
"""How each prompt is asked. A draft of a length has its first token from the pass before."""
TRAINING = "training.json"
"""The file of a checkpoint that says how its adapter was trained, and how it grew."""
BARE = "linear 8, no adapter"
"""Counted and not compared in speed: what the model drafts without having been taught."""
SCHEMA = "json by a schema"
"""The kind of prompts whose answers a schema dictates in part; autoregressive decoding has the schema too."""
ABOUT = tuple(
    f"Write this as JSON: {name} is {age} years old, lives in {city} and works as a {job}."
    for name, age, city, job in (
        ("Anna Rossi", 24, "Lima", "sailor"),
        ("Tom Berg", 51, "Oslo", "teacher"),
        ("Mei Tan", 33, "Quito", "nurse"),
        ("Omar Sall", 67, "Dakar", "baker"),
        ("Eva Novak", 29, "Prague", "pilot"),
        ("Jon Lund", 45, "Bergen", "cook"),
    )
)
_TEXT = {"type": "string", "maxLength": 24}
FORMS: dict[str, dict[str, Any]] = {
    SCHEMA: {
        "guided_decoding_guide_type": "json_schema",
        "guided_decoding_guide": json.dumps(
            {
                "type": "object",
                "properties": {"name": _TEXT, "age": {"type": "integer"}, "city": _TEXT, "job": _TEXT},
                "required": ["name", "age", "city", "job"],
                "additionalProperties": False,
            }
        ),
    }
}
"""What requests of a kind have beside the prompt, in every way."""
LOOKED_UP = ("editing", "json", "passage", SCHEMA)
"""Kinds whose answers repeat what was asked: `auto` has `prompt_lookup` beside."""
PER_KIND, MET, TOKENS = 3, 3, 48
"""Prompts of a kind that count; others of the kind that auto has met before, as a server has met its users' questions;
tokens of an answer at most. An answer of a model of this size takes a second, in each of seven ways."""
LINEAR_AT_LEAST, QUADRATIC_AT_LEAST, AUTO_AT_LEAST, REPEATING_AT_LEAST = 3.0, 1.5, 1.1, 1.5
"""Tokens a cycle of linear drafts of 8, tokens a pass of quadratic ones of 3; auto against autoregressive, over all and
in JSON."""
REPEATING = ("json", SCHEMA)
"""Kinds that repeat what was asked or what a schema dictates. Of edits `free_drafts` has the speed, with a prediction:
prompts of the kind `editing` are one line each, to be written in another form."""


@dataclass
class Asked:
    """What one way took and gave in one precision, by kind of prompt: sums of counters, seconds, ids."""

    counters: defaultdict[str, Counters] = field(default_factory=lambda: defaultdict(Counters))
    seconds: dict[int, float] = field(default_factory=dict)  # by prompt
    ids: dict[int, list[int]] = field(default_factory=dict)  # by prompt


def prompts_of(checkpoint: Path, per_kind: int = PER_KIND, met: int = MET) -> tuple[list[Prompt], list[Prompt]]:
    """Return prompts that the adapter's training held out, HumanEval's and those with a schema: met before, and others.

    Of a kind with few prompts fewer were met.
    """
    every = [*load(checkpoint / HELD_OUT, per_kind + met), *(one.asked for one in problems(per_kind + met))]
    every += [Prompt(SCHEMA, ({"role": "user", "content": text},)) for text in ABOUT[: per_kind + met]]
    seen, before, counted = Counter[str](), list[Prompt](), list[Prompt]()
    for prompt in every:
        (counted if seen[prompt.domain] < per_kind else before).append(prompt)
        seen[prompt.domain] += 1
    return before, counted


def measure(context: Context) -> dict[str, Data]:
    """Ask everything; nothing where the checkpoint has no adapter."""
    if Manifest.load(context.options.bundle).modes != DRAFTING_MODES:
        return {}
    met, prompts = prompts_of(context.options.checkpoint)
    count = len(context.bundles)
    found = {}
    for number, (precision, bundle) in enumerate(context.bundles.items()):
        config = replace(context.config, bundle=bundle.resolve(), prefix_cache_mib=0)
        with ExitStack() as stack:
            runtime = stack.enter_context(closing(Runtime.open(config)))
            for prompt in met:
                _one(runtime, prompt, "auto")
            found[precision] = ask(runtime, prompts, context.pace(number / count, (number + 1) / count))
    record = read(context.options.checkpoint / TRAINING)["draft_adapter"]
    return {
        "drafts": {"prompts": len(prompts), "met": len(met), "tokens": TOKENS, "training": record, "precisions": found}
    }


def ask(runtime: Runtime, prompts: Sequence[Prompt], pace: Pace) -> Data:
    """Return a row for each kind of prompt and way, and for each way over all kinds without a schema."""
    ways = {name: Asked() for name in (*WAYS, BARE)}
    for name in ways:
        _one(runtime, prompts[0], name)  # warms up
    for number, prompt in enumerate(prompts):
        for name in Random(number).sample([*ways], len(ways)):
            own = ways[name]
            chunk, own.seconds[number] = _one(runtime, prompt, name)
            own.ids[number] = chunk.token_ids
            own.counters[prompt.domain] += chunk.counters
        pace.progress((number + 1) / len(prompts))
    kinds = sorted({prompt.domain for prompt in prompts})
    members = {kind: [n for n, prompt in enumerate(prompts) if prompt.domain == kind] for kind in kinds}
    free = [kind for kind in kinds if kind not in FORMS]  # what a schema dictates says nothing of drafts
    every = [number for kind in free for number in members[kind]]
    return {
        "kinds": {kind: {name: _row(ways, name, own, (kind,)) for name in ways} for kind, own in members.items()},
        "all": {name: _row(ways, name, every, free) for name in ways},
    }


def _one(runtime: Runtime, prompt: Prompt, name: str) -> tuple[Chunk, float]:
    free = {"prompt_lookup": True} if name == "auto" and prompt.domain in LOOKED_UP else {}
    fields = {**WAYS["linear 8"], "draft_adapter": False} if name == BARE else WAYS[name]
    chunk, seconds, _ = ask_runtime(
        runtime, prompt, {**fields, **FORMS.get(prompt.domain, {}), **free, "max_tokens": TOKENS}
    )
    return chunk, seconds


def _row(ways: Mapping[str, Asked], name: str, members: Sequence[int], kinds: Sequence[str]) -> Data:
    own, base = ways[name], ways[BASELINE]
    counters = sum((own.counters[kind] for kind in kinds), Counters())
    speed = ratios([base.seconds[number] for number in members], [own.seconds[number] for number in members])
    return {
        "tokens_per_forward": counters.tokens_per_forward,
        "tokens_per_cycle": counters.tokens_per_cycle,
        "hits": hits(counters.acceptance),
        "same": sum(own.ids[number] == base.ids[number] for number in members),
        "answers": len(members),
        **({} if name == BARE else {"speed": asdict(speed)}),
    }


def hits(acceptance: Sequence[int]) -> list[float]:
    """Return for each place of a draft the share of tokens that verification confirmed, of those it came to.

    Args:
        acceptance: verifications by the drafted tokens that they confirmed, as Counters has it.
    """
    reached = [sum(acceptance[place:]) for place in range(len(acceptance))]
    return [reached[place + 1] / reached[place] for place in range(len(acceptance) - 1)]


def section(found: Found) -> str:
    """Return what drafts give over all and by kind, in each precision."""
    drafts = found["drafts"]
    record = drafts["training"]
    parts = [_precision(name, own) for name, own in drafts["precisions"].items()]
    return f"""## Drafts of an adapter

The adapter of rank {record["rank"]} was trained for {record["minutes"]:.0f} minutes, on {record["tokens"]:,} noisy tokens. Its model is frozen, and
its text stays. {drafts["prompts"]} prompts whose wordings and subjects the training held out, and HumanEval's, after {drafts["met"]} others of their
kinds that auto had met; at most {drafts["tokens"]} tokens an answer. JSON is written freely, or by a schema, in
every way; the second is not part of all kinds together. A pass or a cycle is one after the prompt's. Speed is against autoregressive decoding, prompt
included, in pairs of one prompt: medians with quartiles. In editing, passages and JSON auto
also has `prompt_lookup`. *Hits by place* are the drafted tokens that were right, of those that verification came to.

{chr(10).join(parts)}
![How drafts grow with training](plots/drafts.png)
"""  # noqa: E501


def _precision(name: str, own: Data) -> str:
    titles = ("way", "tokens per pass", "tokens per cycle", "hits by place", "same text", "speed")
    ways = [
        [way, f"{row['tokens_per_forward']:.2f}", f"{row['tokens_per_cycle']:.2f}",
         _places(row), f"{row['same']} of {row['answers']}", _speed(row)]
        for way, row in own["all"].items()
    ]  # fmt: skip
    shown = ("linear 8", "quadratic 3")
    kinds = [
        [
            kind,
            *(f"{rows[way]['tokens_per_cycle']:.2f}" for way in (BARE, *shown)),
            _places(rows["linear 8"]),
            f"{rows['auto']['tokens_per_forward']:.2f}",
            *(_speed(rows[way]) for way in (*shown, "auto")),
        ]
        for kind, rows in own["kinds"].items()
    ]
    heads = (
        *(f"tokens per cycle, {way}" for way in (BARE, *shown)),
        "hits by place, linear 8",
        "tokens per pass, auto",
        *(f"speed, {way}" for way in (*shown, "auto")),
    )
    of_kinds = table(("kind", *heads), kinds, ("kind", "hits by place, linear 8"))
    return f"In {name}:\n\n{table(titles, ways, ('way', 'hits by place'))}\n\n{of_kinds}\n"


def _places(row: Data) -> str:
    return " ".join(f"{hit:.2f}" for hit in row["hits"])


def _speed(row: Data) -> str:
    return spread(row["speed"]) if "speed" in row else ""


def claims(found: Found) -> list[Claim]:
    """Return what must hold: the text, what drafts give, and that auto is no slower."""
    made = []
    for precision, own in found["drafts"]["precisions"].items():
        rows = own["all"]
        if precision == "float32":
            same = all(row["same"] == row["answers"] for row in rows.values())
            made.append(Claim("drafts of the adapter give the autoregressive text in every way", same))
            for way, least in (("linear 8", LINEAR_AT_LEAST), ("quadratic 3", QUADRATIC_AT_LEAST)):
                given = rows[way]["tokens_per_cycle"]
                made.append(
                    Claim(f"drafts of {way} give {given:.2f} tokens a cycle, {least:g} at least", given >= least)
                )
        speeds = {kind: by["auto"]["speed"]["median"] for kind, by in own["kinds"].items()}
        slowest = min(speeds, key=lambda kind: speeds[kind])
        bounds = [(f"{slowest}, its slowest kind", speeds[slowest], 1.0)]
        bounds.append(("all kinds together", rows["auto"]["speed"]["median"], AUTO_AT_LEAST))
        bounds += [(kind, speeds[kind], REPEATING_AT_LEAST) for kind in REPEATING if kind in speeds]
        for where, given, least in bounds:
            said = f"auto is {given:.2f} times as fast as autoregressive in {precision}, in {where}, {least:g} at least"
            made.append(Claim(said, given >= least))
    return made


def plot(found: Found, path: Path) -> None:
    """Draw tokens a cycle against what was trained on, as the run measured them itself."""
    growth = found["drafts"]["training"]["growth"]
    with figure(path, 5, 3) as axes:
        axes.plot([tokens / 1000 for tokens, _ in growth], [per_cycle for _, per_cycle in growth], "o-")
        axes.set_xlabel("thousand noisy tokens of training")
        axes.set_ylabel("tokens a cycle, drafts of 8")
        axes.grid(alpha=0.3)


PART = Part("drafts", "drafts of an adapter", ("drafts",), 660, measure, section, claims, plot=("drafts.png", plot))
