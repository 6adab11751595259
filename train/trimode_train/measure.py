"""`python -m trimode_train.measure`: every held-out prompt in every mode; writes the numbers and the model card."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import track
from safetensors.torch import load_file

from trimode_train.card import write_card
from trimode_train.chat import render
from trimode_train.config import EOS_ID, ModelConfig
from trimode_train.evaluate import (
    Question,
    Score,
    code_loss,
    score_autoregressive,
    score_diffusion,
    score_self_speculation,
)
from trimode_train.model import Model
from trimode_train.packing import Document
from trimode_train.tokenizer import load_tokenizer

ROOT = Path(__file__).parents[2]
LENGTHS = (32, 16, 8)


def load_model(folder: Path) -> Model:
    """A checkpoint's weights, rounded to BF16 as stored, computing in float32."""
    model = Model(ModelConfig.from_official(json.loads((folder / "config.json").read_text())))
    model.load_state_dict({name: tensor.float() for name, tensor in load_file(folder / "model.safetensors").items()})
    return model.eval()


def read_held_out(folder: Path) -> tuple[list[Question], list[Document]]:
    """The chat questions and the stretches of code of heldout.jsonl."""
    tokenizer = load_tokenizer(folder)
    asked, code = [], []
    for line in (folder / "heldout.jsonl").read_text().splitlines():
        record = json.loads(line)
        if "prompt" in record:
            code.append(Document(tokenizer.encode(record["prompt"]).ids, 0, closed=False))
            continue
        text = render(record["messages"], template=folder / "chat_template.jinja")
        prompt, reply = tokenizer.encode(text).ids, tokenizer.encode(record["answer"]).ids
        asked.append(Question(record["domain"], Document([*prompt, *reply, EOS_ID], len(prompt))))
    return asked, code


def measure(folder: Path) -> dict[str, Any]:
    """Exact match of all modes, tokens per forward and tokens per cycle, per domain and over all."""
    model = load_model(folder)
    asked, code = read_held_out(folder)
    scores: dict[str, dict[str, Score]] = {"ar": score_autoregressive(model, asked)}
    for length in track(LENGTHS, "measuring", console=Console(stderr=True)):
        scores[f"diffusion {length}"] = score_diffusion(model, asked, length)
        scores[f"self_speculation {length}"] = score_self_speculation(model, asked, length)
    domains = {
        domain: {
            mode: {
                "asked": score.asked,
                "exact": round(score.exact, 3),
                **({"tokens_per_forward": round(score.per_forward, 2)} if score.forwards else {}),
                **({"tokens_per_cycle": round(score.per_block, 2)} if mode.startswith("self") else {}),
            }
            for mode, by_domain in scores.items()
            for score in [by_domain[domain]]
        }
        for domain in scores["ar"]
    }
    return {"threshold": 0.9, "code_loss_nats_per_token": round(code_loss(model, code), 3), "domains": domains}


def table(domains: dict[str, Any]) -> str:
    """The card's Markdown table."""
    lines = [
        "| domain | ar exact | diffusion 32: exact, tokens/forward | diffusion 16 | diffusion 8 "
        "| self-speculation tokens/cycle at 32, 16, 8 |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for domain in [*sorted(d for d in domains if d != "all"), "all"]:
        modes = domains[domain]
        cells = [f"{modes['ar']['exact']:.0%}"]
        for length in LENGTHS:
            diffused = modes[f"diffusion {length}"]
            cells.append(f"{diffused['exact']:.0%}, {diffused['tokens_per_forward']:.1f}")
        cycles = (modes[f"self_speculation {length}"]["tokens_per_cycle"] for length in LENGTHS)
        cells.append(", ".join(f"{c:.1f}" for c in cycles))
        lines.append(f"| {f'**{domain}**' if domain == 'all' else domain} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m trimode_train.measure", description=__doc__)
    parser.add_argument("--checkpoint", type=Path, default=ROOT / "checkpoints/nano")
    parser.add_argument("--results", type=Path, default=ROOT / "train/results-nano.json")
    parser.add_argument("--card-only", action="store_true", help="write the card again from the stored results")
    options = parser.parse_args(arguments)
    results = json.loads(options.results.read_text()) if options.results.exists() else {}
    if not options.card_only:
        torch.set_num_threads(1)  # passes of one short row: a second thread only waits
        results |= measure(options.checkpoint)
        options.results.write_text(json.dumps(results, indent=1) + "\n")
    text = table(results["domains"])
    code = results["code_loss_nats_per_token"]
    write_card(options.checkpoint, results["training"], text + f"\n\nHeld-out library code: {code} nats a token.")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
