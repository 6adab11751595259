"""The model card: the text of card.md around the numbers of quality.json, training.json and config.json."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from trimode.api.fields import Mode
from trimode.bundle.manifest import EFFORT

from . import effort, markdown, plots
from .claims import CODE, DIFFUSION_WITHIN, claimed, find
from .domains import about
from .paper import ACCEPTANCE
from .perplexity import together
from .settings import BLOCKS, CODE_TOKENS, MAX_TOKENS, THRESHOLD
from .tally import per_cycle

TEXT = Path(__file__).with_name("card.md")
INDENTED = 3
"""Levels of quality.json that are indented."""
LAGS = 0.10
"""A domain is named where diffusion loses more than this against autoregressive."""
POOR = 0.80
"""A claimed domain is named where autoregressive is exact on less than this."""

RECIPES = {
    "nano-cpu": "from scratch, on twenty of the domains; resumed twice; the recipe repeats it in kind, not bit by bit",
    "nano-cpu-2": "from the first stage's weights, with more domains, prose, and blocks whose holes lie between known"
    " sides. It makes diffusion careful on purpose: a masked token that would be revealed wrongly weighs four times as"
    " much. It was resumed five times: its first half had three more domains, which were not learned and taken out, and"
    " trained every second step on the state after the surest tokens were revealed",
}
"""How each stage went, by its recipe's name: what training.json does not say."""


def write(checkpoint: Path, results: dict[str, Any], out: Path) -> None:
    """Write README.md, effort.json and plots/ into `out`."""
    (out / EFFORT).write_text(spelled(effort.table(results)) + "\n", encoding="utf-8")
    (out / "README.md").write_text(text(checkpoint, results), encoding="utf-8")
    plots.draw(results, out / "plots")


def spelled(value: Any, depth: int = 0) -> str:
    """Return JSON with a line for each setting's domain: the outer levels indented, the inner ones on one line."""
    if depth > INDENTED or not isinstance(value, dict | list) or not value:
        return json.dumps(value)
    inner = "\n" + " " * (depth + 1)
    if isinstance(value, list):
        return "[" + inner + f",{inner}".join(spelled(item, depth + 1) for item in value) + inner[:-1] + "]"
    pairs = (f"{json.dumps(key)}: {spelled(item, depth + 1)}" for key, item in value.items())
    return "{" + inner + f",{inner}".join(pairs) + inner[:-1] + "}"


def text(checkpoint: Path, results: dict[str, Any]) -> str:
    """Return the card of `checkpoint` with its `results`."""
    config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    training = json.loads((checkpoint / "training.json").read_text(encoding="utf-8"))
    settings, facts = results["settings"], results["checkpoint"]
    serial = find(results, Mode.AUTOREGRESSIVE)
    assert serial is not None
    claims = claimed(serial)
    code = results["perplexity"]["domains"].get("code")
    values = {
        **{name: value for name, value in config.items() if isinstance(value, int | str)},
        **settings,
        "parameters": f"{facts['parameters']:,}",
        "megabytes": facts["tensor_megabytes"],
        "adapter_size": ", draft adapter included" if settings["adapter"] else "",
        "domains": len(claims),
        "can": "\n".join(f"- {about(name)}" for name in claims),
        "cannot": "\n".join(f"- {line}" for line in _cannot(results, serial, claims)),
        "claims": markdown.claims(results),
        "by_domain": markdown.domains(results),
        "thresholds": markdown.thresholds(results),
        "steps": markdown.steps(results),
        "joint": markdown.joint(results),
        "finished": markdown.finished(results),
        "effort": markdown.effort(results),
        "precisions": markdown.precisions(results),
        "parsed": markdown.parsed(results),
        "human_eval": markdown.human_eval(results),
        "problems": results["human_eval"]["problems"],
        "paper": markdown.beside_the_paper(results),
        "benchmarks": markdown.paper_benchmarks(),
        "paper_native": f"{ACCEPTANCE[False]:.2f}",
        "paper_adapter": f"{ACCEPTANCE[True]:.2f}",
        "acceptance": _acceptance(results),
        "adapter_gain": _adapter_gain(results),
        "forms": _forms(results["forms"]),
        "code_losses": _losses(code, results["perplexity"].get("human_eval")),
        "replies": _loss(together(results["perplexity"]["domains"][name] for name in claims)),
        "stages": _stages(training),
        "adapter_training": _adapter(training, settings["adapter"]),
        "overlap": _overlap(checkpoint),
        "sources": _sources(training.get("sources", [])),
        "threshold": THRESHOLD,
        "max_tokens": MAX_TOKENS,
        "code_tokens": CODE_TOKENS,
    }
    filled = TEXT.read_text(encoding="utf-8")
    for key, value in values.items():
        filled = filled.replace("{{" + key + "}}", str(value))
    return filled


def _overlap(checkpoint: Path) -> str:
    """Say how much of what is held out was nevertheless seen, from the overlap check's record."""
    file = checkpoint / "overlap.json"
    if not file.exists():
        return "Whether held-out text occurs in training was not checked: `python -m trimode_train.overlap`."
    found = json.loads(file.read_text(encoding="utf-8"))
    runs = found["runs"]
    names = sorted(set(runs[0]["domains"]) - {CODE})
    asked = sum(runs[0]["domains"][name]["asked"] for name in names)
    prompts = sum(run["domains"][name]["prompts_seen"] for run in runs for name in names)
    most = {name: max(run["domains"][name]["replies_seen"] for run in runs) for name in names}
    known = ", ".join(f"{name} {seen} of {runs[0]['domains'][name]['replies']}" for name, seen in most.items() if seen)
    drawn = " and ".join(
        f"{run['batches']:,} batches of `{run['recipe']}` ({run['documents']:,} documents)" for run in runs
    )
    notes = "".join(f" `{run['recipe']}`: {run['note'].rstrip('.')}." for run in runs if run.get("note"))
    return (
        f"As a check {drawn} were drawn again by the committed recipes. The shipped runs drew parts of theirs from"
        " other mixtures, so this checks the rule and replays no run. Of the"
        f" {asked} held-out prompts of chats {prompts} occur. But where a task has few different facts, nearly every"
        " fact does, asked in other words: of the right replies these are, word for word, in training (the larger"
        f" count of the runs): {known or 'none'}.{notes} {_files(found)}All counts: `overlap.json`."
    )


def _files(found: dict[str, Any]) -> str:
    """Say which share of held-out files' long n-grams stand in training files: headers, mostly."""
    files = found.get("files", {})
    shares = [f"{name} {c['ngrams_seen'] / c['ngrams']:.1%}" for name, c in files.items() if c["ngrams"]]
    if not shares:
        return ""
    return f"Of all {found['files_n']}-grams of held-out files these stand in training files too: {', '.join(shares)}. "


def _cannot(results: dict[str, Any], serial: dict[str, Any], claims: list[str]) -> Iterable[str]:
    """Say what the results show to be missing."""
    diffused = find(results, Mode.DIFFUSION, BLOCKS[0], threshold=THRESHOLD)
    assert diffused is not None
    for name in results["dropped"]:
        counts = serial["domains"][name]
        poor = counts["exact"] < POOR * counts["asked"]
        parallel = diffused["domains"][name]
        behind = (counts["exact"] - parallel["exact"]) / counts["asked"]
        why = [f"ar is exact on less than {POOR:.0%}"] if poor else []
        why += [f"diffusion is {100 * behind:.0f} points behind"] if behind > DIFFUSION_WITHIN else []
        yield (
            f"**{about(name).capitalize()}** (`{name}`): in the training mixture; exact {markdown.exact(counts)} in "
            f"ar, {markdown.exact(parallel)} in diffusion (block {BLOCKS[0]}, threshold {THRESHOLD}). Not claimed: "
            f"{' and '.join(why) or 'no figure here says why'}. Its prompts stay in `heldout.jsonl`, so that this can "
            "be checked."
        )
    weak = [name for name in claims if serial["domains"][name]["exact"] < POOR * serial["domains"][name]["asked"]]
    if weak:
        shares = ", ".join(f"{about(name)} {markdown.exact(serial['domains'][name])}" for name in weak)
        yield f"Be trusted with its weaker domains. Exact in ar: {shares}."
    lags = [
        (name, counts)
        for name in claims
        for counts in [diffused["domains"][name]]
        if counts["exact"] < serial["domains"][name]["exact"] - LAGS * counts["asked"]
    ]
    if lags:
        shares = ", ".join(f"{about(name)} {markdown.exact(counts)}" for name, counts in lags)
        yield (
            f"Do everything as well in diffusion, block {BLOCKS[0]}, threshold {THRESHOLD}, as in ar and "
            f"self-speculation. Clearly behind: {shares}."
        )


def _acceptance(results: dict[str, Any]) -> str:
    """Say how many cycles give a whole block."""
    told = []
    for kind in (True, False) if results["settings"]["adapter"] else (False,):
        run = find(results, Mode.SELF_SPECULATION, BLOCKS[0], adapter=kind)
        assert run is not None
        runs = {int(size): count for size, count in run["all"]["accepted"].items()}
        name = {True: "with the adapter ", False: "without it "}[kind] if results["settings"]["adapter"] else ""
        told.append(f"{name}{runs.get(BLOCKS[0], 0) / sum(runs.values()):.0%}")
    return ", ".join(told)


def _adapter_gain(results: dict[str, Any]) -> str:
    """Say what the adapter changes, on the claimed domains and off them."""
    if not results["settings"]["adapter"]:
        return ""
    runs = [find(results, Mode.SELF_SPECULATION, BLOCKS[0], adapter=kind) for kind in (False, True)]
    ours = [per_cycle(run["all"]) for run in runs if run]
    code = [per_cycle(run["domains"][CODE]) for run in runs if run and CODE in run["domains"]]
    told = f"The adapter takes tokens per cycle at block {BLOCKS[0]} from {ours[0]:.2f} to {ours[1]:.2f} on"
    off = f" and from {code[0]:.2f} to {code[1]:.2f} on held-out code" if len(code) == 2 else ""
    return f"{told} the claimed domains, some of which lose by it,{off}. "


def _forms(found: dict[str, dict[str, int]]) -> str:
    words = {
        "thinking": "thinking on (tasks with worked steps)",
        "second_turn": "as a second turn",
        "system": "after a system message",
    }
    return ", ".join(f"{words[name]} {counts['exact']} of {counts['asked']}" for name, counts in found.items())


def _losses(code: dict[str, Any] | None, problems: dict[str, Any] | None) -> str:
    named = (("held-out library code", code), ("HumanEval's problems with their solutions", problems))
    return "; ".join(f"{name} {_loss(entry)}" for name, entry in named if entry)


def _loss(entry: dict[str, Any]) -> str:
    nats, bits = entry["nats"] / entry["tokens"], markdown.bits_per_byte(entry)
    return f"{nats:.3g} nats a token (perplexity {entry['perplexity']:.2f}, {bits:.3g} bits a byte)"


def _stages(training: dict[str, Any]) -> str:
    rows = [
        [
            f"[{stage['recipe']}](../../train/{stage['recipe']}.yaml)",
            f"{stage['steps']:,}",
            f"{stage['tokens'] / 1e6:.1f}",
            f"{stage['minutes']:.1f}",
        ]
        for stage in training["stages"]
    ]
    told = [f"`{s['recipe']}`: {RECIPES[s['recipe']]}." for s in training["stages"] if s["recipe"] in RECIPES]
    return markdown.grid(["stage", "steps", "million tokens", "minutes"], rows) + "\n\n" + "\n\n".join(told)


def _adapter(training: dict[str, Any], shipped: bool) -> str:
    record = training.get("draft_adapter")
    if not shipped:
        return "There is no draft adapter."
    if not record:
        return "There is a draft adapter (`linear_spec_lora/`), used by drafting passes only."
    return (
        f"Last, with all of that frozen, a draft adapter (`linear_spec_lora/`, rank {record['rank']}, alpha "
        f"{record['alpha']}) was trained for {record['steps']:,} steps, {record['tokens'] / 1e6:.1f} million tokens, "
        f"{record['minutes']:.1f} minutes. Only drafting passes use it; it cannot change a text, only how much of a "
        f"draft is accepted."
    )


def _sources(sources: list[dict[str, Any]]) -> str:
    if not sources:
        return "Every source, its licence and its address: `train/trimode_train/data/sources.py`."
    rows = [
        [
            f"[{source['name']}]({_link(source['address'])})",
            *(str(source.get(key, markdown.NOTHING)) for key in ("kind", "licence")),
            *(_number(source.get(key)) for key in ("files", "held_out_files")),
            f"{source['bytes'] / 1e6:.2f} MB" if source.get("bytes") else "generated",
        ]
        for source in sources
    ]
    return markdown.grid(["source", "kind", "licence", "files", "held out", "size without those"], rows, "---")


def _link(address: str) -> str:
    """Return an address as the card can link it: a path of the repository is two levels up."""
    return address if "://" in address else f"../../{address}"


def _number(value: int | None) -> str:
    return markdown.NOTHING if value is None else f"{value:,}"
