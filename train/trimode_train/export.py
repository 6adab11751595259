"""`python -m trimode_train.export`: a run's latest state as a checkpoint folder in the official layout.

Safe on a live run and under readers: every file is written aside and renamed into place.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer

from trimode_train import checkpointing
from trimode_train.card import write_card
from trimode_train.chat import TEMPLATE
from trimode_train.config import BOS_ID, EOS_ID
from trimode_train.corpus import draw
from trimode_train.sources import texts
from trimode_train.tasks import TASKS
from trimode_train.tokenizer import load_tokenizer, tokenizer_config

ROOT = Path(__file__).parents[2]
HELD_OUT_SEED = 2026


def held_out(per_domain: int = 20, code: int = 30) -> Iterator[dict[str, Any]]:
    """The records of heldout.jsonl: prompts and files that no training document was made from."""
    for name in TASKS:
        rng, seen = Random(f"{HELD_OUT_SEED} {name}"), set()
        for _ in range(per_domain * 50):  # small domains have few different held-out prompts
            example = draw(rng, True, name)
            if example.prompt not in seen and len(seen) < per_domain:
                seen.add(example.prompt)
                messages = [{"role": "user", "content": example.prompt}]
                yield {"domain": name, "messages": messages, "answer": example.answer}
    rng = Random(f"{HELD_OUT_SEED} code")
    long = [text for _, text in texts("code", held_out=True) if len(text) > 2000]
    for _ in range(code):
        lines = rng.choice(long).splitlines(keepends=True)
        start = rng.randrange(max(1, len(lines) - 20))
        yield {"domain": "code", "prompt": "".join(lines[start : start + 8])[:400]}


def _json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n")


def export(
    weights: dict[str, torch.Tensor],
    config: dict[str, Any],
    tokenizer: Tokenizer,
    folder: Path,
    with_held_out: bool = True,
) -> None:
    """Write the checkpoint's files but for the model card. Weights become BF16 under the official names."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".export-") as name:
        temporary = Path(name)
        _json(temporary / "config.json", config)
        _json(
            temporary / "generation_config.json",
            {
                "_from_model_config": True,
                "bos_token_id": BOS_ID,
                "eos_token_id": EOS_ID,
                "transformers_version": config["transformers_version"],
                "use_cache": False,
            },
        )
        tensors = {name: tensor.detach().to("cpu", torch.bfloat16).contiguous() for name, tensor in weights.items()}
        save_file(tensors, temporary / "model.safetensors", metadata={"format": "pt"})
        tokenizer.save(str(temporary / "tokenizer.json"))
        _json(temporary / "tokenizer_config.json", tokenizer_config(config["max_position_embeddings"]))
        shutil.copyfile(TEMPLATE, temporary / "chat_template.jinja")
        if with_held_out:
            lines = [json.dumps(record, ensure_ascii=False) for record in held_out()]
            (temporary / "heldout.jsonl").write_text("\n".join(lines) + "\n")
        for file in sorted(temporary.iterdir()):
            file.chmod(0o644)
            os.replace(file, folder / file.name)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m trimode_train.export", description=__doc__)
    parser.add_argument("--run", type=Path, default=ROOT / "train/runs/nano-cpu", help="run folder")
    parser.add_argument("--to", type=Path, default=ROOT / "checkpoints/nano", help="checkpoint folder")
    parser.add_argument("--results", type=Path, default=ROOT / "train/results-nano.json", help="training record")
    options = parser.parse_args(arguments)
    state = checkpointing.load(options.run / "latest.pt")
    export(state["model"], state["config"], load_tokenizer(options.run), options.to)
    training = {"steps": state["step"], "tokens": state["tokens"], "minutes": round(state["elapsed"] / 60, 1)}
    _json(options.results, {"training": training})  # a new checkpoint makes older measurements void
    write_card(options.to, training)
    (options.run.parent / "EXPORTED").touch()
    print(f"{options.to}: step {state['step']}, {state['tokens']:,} tokens, {state['elapsed'] / 60:.1f} minutes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
