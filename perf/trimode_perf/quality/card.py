"""The model card: the text of card.md around the numbers of quality.json, training.json and config.json."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from trimode.api.fields import Mode
from trimode.bundle.manifest import EFFORT

from ..common.markdown import fill, table
from ..common.prompts import CODE
from ..common.published import ACCEPTANCE_8B
from ..common.results import read
from . import picture_card, plots, tables
from .claims import DIFFUSION_WITHIN, claimed, find, needed
from .settings import BLOCKS, CODE_TOKENS, MAX_TOKENS, THRESHOLD
from .tally import bits_per_byte, per_cycle, together

TEXT = Path(__file__).with_name("card.md")
WORDS: dict[str, dict[str, str]] = read(Path(__file__).with_name("words.json"))
"""What each domain asks for, what the forms of a chat are called, how each training stage went, and whole sentences."""
SAY = WORDS["sentences"]
INDENTED = 3
"""Levels of quality.json that are indented."""
LAGS = 0.10
"""A domain is named where diffusion loses more than this against autoregressive."""
POOR = 0.80
"""A claimed domain is named where autoregressive is exact on less than this."""


def about(domain: str) -> str:
    """Return the words for a domain; its own name where there are none."""
    return WORDS["domains"].get(domain, domain.replace("_", " "))


def write(checkpoint: Path, results: dict[str, Any], out: Path) -> None:
    """Write README.md, effort.json and plots/ into `out`."""
    (out / EFFORT).write_text(spelled(tables.efforts(results)) + "\n", encoding="utf-8")
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
    config, training = read(checkpoint / "config.json"), read(checkpoint / "training.json")
    settings, facts = results["settings"], results["checkpoint"]
    serial = needed(results, Mode.AUTOREGRESSIVE)
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
        **{name: make(results) for name, make in tables.TABLES.items()},
        **picture_card.parts(results, config, WORDS),
        "problems": results["human_eval"]["problems"],
        "paper_native": f"{ACCEPTANCE_8B['without adapter']:.2f}",
        "paper_adapter": f"{ACCEPTANCE_8B['with adapter']:.2f}",
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
    return fill(TEXT, values)


def _overlap(checkpoint: Path) -> str:
    """Say how much of what is held out was nevertheless seen, from the overlap check's record."""
    file = checkpoint / "overlap.json"
    if not file.exists():
        return SAY["no_overlap"]
    found = read(file)
    runs = found["runs"]
    names = sorted(set(runs[0]["domains"]) - {CODE})
    asked = sum(runs[0]["domains"][name]["asked"] for name in names)
    prompts = sum(run["domains"][name]["prompts_seen"] for run in runs for name in names)
    most = {name: max(run["domains"][name]["replies_seen"] for run in runs) for name in names}
    known = ", ".join(f"{name} {seen} of {runs[0]['domains'][name]['replies']}" for name, seen in most.items() if seen)
    *most_runs, last = [
        f"{run['batches']:,} batches of `{run['recipe']}` ({run['documents']:,} documents)" for run in runs
    ]
    drawn = " and ".join([*([", ".join(most_runs)] if most_runs else []), last])
    notes = "".join(f" `{run['recipe']}`: {run['note'].rstrip('.')}." for run in runs if run.get("note"))
    counts = {"drawn": drawn, "asked": asked, "prompts": prompts, "known": known or "none"}
    seen = {name: c for name, c in found.get("files", {}).items() if c["ngrams"]}
    shares = ", ".join(f"{name} {c['ngrams_seen'] / c['ngrams']:.1%}" for name, c in seen.items())
    files = SAY["ngrams"].format(size=found["files_n"], shares=shares) if seen else ""
    return SAY["overlap"].format(**counts, notes=notes, files=files)


def _cannot(results: dict[str, Any], serial: dict[str, Any], claims: list[str]) -> Iterable[str]:
    """Say what the results show to be missing."""
    diffused = needed(results, Mode.DIFFUSION, BLOCKS[0], threshold=THRESHOLD)
    at = {"block": BLOCKS[0], "threshold": THRESHOLD}
    for name in results["dropped"]:
        counts, parallel = serial["domains"][name], diffused["domains"][name]
        behind = (counts["exact"] - parallel["exact"]) / counts["asked"]
        why = [f"ar is exact on less than {POOR:.0%}"] if counts["exact"] < POOR * counts["asked"] else []
        why += [f"diffusion is {100 * behind:.0f} points behind"] if behind > DIFFUSION_WITHIN else []
        shares = {"serial": tables.exact(counts), "diffused": tables.exact(parallel)}
        reason = " and ".join(why) or "no figure here says why"
        yield SAY["not_claimed"].format(about=about(name).capitalize(), name=name, why=reason, **shares, **at)
    weak, lags = [], []
    for name in claims:
        counts, parallel = serial["domains"][name], diffused["domains"][name]
        if counts["exact"] < POOR * counts["asked"]:
            weak.append(f"{about(name)} {tables.exact(counts)}")
        if parallel["exact"] < counts["exact"] - LAGS * parallel["asked"]:
            lags.append(f"{about(name)} {tables.exact(parallel)}")
    named = (("weak", weak), ("lags", lags))
    yield from (SAY[sentence].format(shares=", ".join(found), **at) for sentence, found in named if found)


def _acceptance(results: dict[str, Any]) -> str:
    """Say how many cycles give a whole block."""
    names = {True: "with the adapter ", False: "without it "} if results["settings"]["adapter"] else {False: ""}
    said = []
    for kind, name in names.items():
        runs = needed(results, Mode.SELF_SPECULATION, BLOCKS[0], adapter=kind)["all"]["accepted"]
        said.append(f"{name}{runs.get(str(BLOCKS[0]), 0) / sum(runs.values()):.0%}")
    return ", ".join(said)


def _adapter_gain(results: dict[str, Any]) -> str:
    """Say what the adapter changes, on the claimed domains and off them."""
    if not results["settings"]["adapter"]:
        return ""
    runs = [find(results, Mode.SELF_SPECULATION, BLOCKS[0], adapter=kind) for kind in (False, True)]
    ours = [per_cycle(run["all"]) for run in runs if run]
    code = [per_cycle(run["domains"][CODE]) for run in runs if run and CODE in run["domains"]]
    off = f" and from {code[0]:.2f} to {code[1]:.2f} on held-out code" if len(code) == 2 else ""
    return SAY["adapter_gain"].format(block=BLOCKS[0], without=ours[0], with_it=ours[1], code=off)


def _forms(found: dict[str, dict[str, int]]) -> str:
    return ", ".join(f"{WORDS['forms'][name]} {counts['exact']} of {counts['asked']}" for name, counts in found.items())


def _losses(code: dict[str, Any] | None, problems: dict[str, Any] | None) -> str:
    named = (("held-out library code", code), ("HumanEval's problems with their solutions", problems))
    return "; ".join(f"{name} {_loss(entry)}" for name, entry in named if entry)


def _loss(entry: dict[str, Any]) -> str:
    nats, bits = entry["nats"] / entry["tokens"], bits_per_byte(entry)
    return f"{nats:.3g} nats a token (perplexity {entry['perplexity']:.2f}, {bits:.3g} bits a byte)"


def _stages(training: dict[str, Any]) -> str:
    rows = []
    for stage in training["stages"]:
        file = stage["recipe"].split("/")[0]  # which may have several stages
        link = f"[{stage['recipe']}](../../train/{file}.yaml)"
        rows.append((link, f"{stage['steps']:,}", f"{stage['tokens'] / 1e6:.1f}", f"{stage['minutes']:.1f}"))
    known = WORDS["recipes"]
    said = [f"`{s['recipe']}`: {known[s['recipe']]}." for s in training["stages"] if s["recipe"] in known]
    return tables.grid(["stage", "steps", "million tokens", "minutes"], rows) + "\n\n" + "\n\n".join(said)


def _adapter(training: dict[str, Any], shipped: bool) -> str:
    record = training.get("draft_adapter")
    if shipped and record:
        return SAY["adapter_training"].format(**record, millions=record["tokens"] / 1e6)
    return SAY["adapter" if shipped else "no_adapter"]


def _sources(sources: list[dict[str, Any]]) -> str:
    if not sources:
        return SAY["no_sources"]
    rows = []
    for source in sources:
        address = source["address"]  # a path of the repository is two levels up
        link = address if "://" in address else f"../../{address}"
        kinds = [str(source.get(key, tables.NOTHING)) for key in ("kind", "licence")]
        counts = [source.get(key) for key in ("files", "held_out_files")]
        made = tables.NOTHING if source.get("kind") == "font" else "generated"
        size = f"{source['bytes'] / 1e6:.2f} MB" if source.get("bytes") else made
        numbers = [tables.NOTHING if count is None else f"{count:,}" for count in counts]
        rows.append([f"[{source['name']}]({link})", *kinds, *numbers, size])
    head = ["source", "kind", "licence", "files", "held out", "size without those"]
    return table(head, rows, left=head)
