"""`python -m trimode_train.export`: writes a run's latest state as a checkpoint folder in the official layout.

Weights of more than 16 MiB become several files and their index. Safe while the run goes on: every file is written
under another name and then renamed, the weights last. In between, a reader may see old weights with a new config.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import torch
from tokenizers import Tokenizer

from .data.chat import IMAGE_TEMPLATE, TEMPLATE
from .data.corpus import draw
from .data.picture_corpus import domains_of
from .data.pictures.fonts import SOURCES as FONTS
from .data.recipe import Recipe
from .data.sources import SOURCES, texts
from .data.tasks import TASKS
from .data.tokenizer import load_tokenizer, tokenizer_config
from .model import lora, shards
from .model.base import text_files
from .model.checkpoint import TRAINING, write_json
from .model.model import HEAD
from .prepare import ROOT, RUNS
from .training import resumable

HELD_OUT = "heldout.jsonl"
RECIPES = ROOT / "train"
HELD_OUT_SEED = 2026  # any number; heldout.jsonl stays the same as long as it does


def held_out(per_domain: int = 20, code: int = 30) -> Iterator[dict[str, Any]]:
    """Yield the records of heldout.jsonl: prompts and parts of files that no training document was made from."""
    for name in TASKS:
        rng = Random(f"{HELD_OUT_SEED} {name}")
        seen: set[str] = set()
        for _ in range(per_domain * 50):  # many tries, because small domains have few different held-out prompts
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


def export(
    weights: dict[str, torch.Tensor],
    config: dict[str, Any],
    tokenizer: Tokenizer,
    folder: Path,
    records: Iterable[str] | None = None,
    texts: dict[str, bytes] | None = None,
) -> None:
    """Write the checkpoint's files, except model card and training record; weights in BF16 under official names.

    `records` are the lines of heldout.jsonl, which is left out without them. `texts` are tokenizer and chat template of
    a model of another family, name -> bytes, in place of this one's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".export-") as name:
        temporary = Path(name)
        write_json(temporary / "config.json", config)
        write_json(
            temporary / "generation_config.json",
            {
                "_from_model_config": True,
                "bos_token_id": config["bos_token_id"],
                "eos_token_id": config["eos_token_id"],
                "transformers_version": config["transformers_version"],
                "use_cache": False,
            },
        )
        if texts is None:
            _write_texts(config, tokenizer, temporary)
        for file_name, content in (texts or {}).items():
            (temporary / file_name).write_bytes(content)
        if records is not None:
            (temporary / HELD_OUT).write_text("\n".join(records) + "\n")
        for file in sorted(temporary.iterdir()):
            file.chmod(0o644)
            os.replace(file, folder / file.name)
    tied = config["tie_word_embeddings"]
    shards.save({name: tensor for name, tensor in weights.items() if not (tied and name == HEAD)}, folder)


def _write_texts(config: dict[str, Any], tokenizer: Tokenizer, folder: Path) -> None:
    """Write the files of the family's tokenizer and chat template."""
    tokenizer.save(str(folder / "tokenizer.json"))
    added = [(number, token.content) for number, token in sorted(tokenizer.get_added_tokens_decoder().items())]
    write_json(folder / "tokenizer_config.json", tokenizer_config(config["max_position_embeddings"], added))
    shutil.copyfile(IMAGE_TEMPLATE if "vision_config" in config else TEMPLATE, folder / "chat_template.jinja")


def read_run(folder: Path) -> dict[str, Any]:
    """Read the state of a run from its resumable state, or from what `--save-shards` wrote."""
    if (folder / "latest.pt").exists():
        return resumable.load(folder / "latest.pt")
    return {**json.loads((folder / shards.STATE).read_text()), "model": shards.load(folder)}


def mean(weights: dict[str, torch.Tensor], folder: Path) -> dict[str, torch.Tensor]:
    """Return the mean of a run's weights and those of a checkpoint's folder, tensor by tensor, in float32.

    Two states of one model, of which the second goes on from the first, are often both worse than their mean
    (Izmailov et al., "Averaging weights leads to wider optima and better generalization", 2018).

    Raises:
        SystemExit: the folder has other tensors.
    """
    others = shards.load(folder)
    shapes, given = ({name: tuple(one.shape) for name, one in every.items()} for every in (weights, others))
    if shapes != given:
        raise SystemExit(f"--mean-with {folder}: expected the tensors of the run, found others")
    return {name: (one.float() + others[name].float()) / 2 for name, one in weights.items()}


def stages(state: dict[str, Any], run: str, folder: Path) -> list[dict[str, Any]]:
    """Return the training record: the stages of the checkpoint that the run started from, and the run's own, once.

    A state of an older version does not name the checkpoint that it started from: it is then the exported one.
    """
    own = {"recipe": state.get("recipe", run), "steps": state["step"], "tokens": state["tokens"]}
    own["minutes"] = round(state["elapsed"] / 60, 1)
    if state.get("weights_of"):  # a stage: the states of the stages before it lie beside it
        before = resumable.load(RUNS / state["weights_of"] / "latest.pt")
        inherited = stages({**state, "weights_of": None}, run, folder)[:-1]
        earlier = stages(before, state["weights_of"], folder)
        return [*(stage for stage in inherited if stage not in earlier), *earlier, own]
    start = ROOT / state["start_from"] if state.get("start_from") else folder if "start_from" not in state else None
    if start is None or not (start / TRAINING).exists():
        return [own]
    recorded = json.loads((start / TRAINING).read_text()).get("stages", [])  # a base of another family has none
    names = [stage["recipe"] for stage in recorded]
    return [*recorded[: names.index(own["recipe"])], own] if own["recipe"] in names else [*recorded, own]


def origin(state: dict[str, Any]) -> Path | None:
    """Return the checkpoint that a run's text weights come from, perhaps by way of earlier stages; None without one."""
    while not state.get("start_from") and state.get("weights_of"):
        state = resumable.load(RUNS / state["weights_of"] / "latest.pt")
    return ROOT / state["start_from"] if state.get("start_from") else None


def records_of(state: dict[str, Any]) -> list[str]:
    """Return the lines of heldout.jsonl, to compare.

    A model that sees has those of the text model that it began as, and one on another's answers has that one's.
    """
    begun = origin(state) if "vision_config" in state["config"] or state.get("answers_of") else None
    if begun is not None and (begun / HELD_OUT).exists():
        return (begun / HELD_OUT).read_text().splitlines()
    return [json.dumps(record, ensure_ascii=False) for record in held_out()]


def pictures(recipe: str) -> dict[str, Any]:
    """Return what a stage's pictures show, by its recipe: the domains, and how many digits and words."""
    options = next(
        stage.pictures for stage in Recipe.stages(RECIPES / f"{recipe.split('/')[0]}.yaml") if stage.name == recipe
    )
    domains = list(dict.fromkeys(task.name for task in domains_of(options) if task.weight))
    return {"domains": domains, "digits": options.digits, "words": options.words}


def sources() -> list[dict[str, Any]]:
    """Return where the training text comes from, with licences and sizes."""
    listed: list[dict[str, Any]] = []
    for source in SOURCES:
        kept = source.share(held_out=False)
        named = {"name": source.name, "kind": source.kind, "licence": source.licence, "address": source.address}
        size = sum(len(text.encode()) for _, text in kept)
        listed.append({**named, "files": len(kept), "bytes": size, "held_out_files": len(source.share(held_out=True))})
    gym = "https://github.com/open-thought/reasoning-gym"
    listed.append({"name": "reasoning-gym questions", "kind": "chat", "licence": "Apache-2.0", "address": gym})
    listed.append(
        {"name": "own generators", "kind": "chat", "licence": "Apache-2.0", "address": "train/trimode_train/data/tasks"}
    )
    return listed


def prompt_sources() -> list[dict[str, Any]]:
    """Return where the prompts come from that a model answered, with licences."""
    kept = ("name", "kind", "licence", "address")
    listed = [{key: one[key] for key in kept} for one in sources()]
    return [*listed[:-1], {**listed[-1], "name": "own templates", "address": "train/trimode_train/adapter/asked"}]


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m trimode_train.export",
        description="Write a run's latest state as a checkpoint folder in the official layout.",
    )
    parser.add_argument(
        "--run",
        type=Path,
        metavar="DIR",
        default=RUNS / "nano-cpu-2",
        help="a run's folder, or saved shards [%(default)s]",
    )
    parser.add_argument(
        "--to", type=Path, metavar="DIR", default=ROOT / "checkpoints/nano", help="the checkpoint folder [%(default)s]"
    )
    parser.add_argument(
        "--mean-with", type=Path, metavar="DIR", help="write the mean of the run's weights and those of this checkpoint"
    )
    options = parser.parse_args(arguments)
    if not any((options.run / name).exists() for name in ("latest.pt", shards.STATE)):
        raise SystemExit(f"{options.run}: expected a run's folder, found neither latest.pt nor {shards.STATE}")
    state = read_run(options.run)
    on_answers = bool(state.get("answers_of"))
    texts = text_files(ROOT / state["start_from"]) if on_answers else None
    record: dict[str, Any] = {
        "stages": stages(state, options.run.resolve().name, options.to),
        "sources": prompt_sources() if on_answers else sources(),
    }
    weights = state["model"]
    if options.mean_with is not None:
        weights = mean(weights, options.mean_with)
        before = json.loads((options.mean_with / TRAINING).read_text())["stages"][-1]["recipe"]
        record["stages"][-1] = {**record["stages"][-1], "mean_with": before}
    if "vision_config" in state["config"]:
        record = {
            **record,
            "sources": [*record["sources"], *FONTS],
            "pictures": pictures(record["stages"][-1]["recipe"]),
        }
    if (options.to / lora.FOLDER).exists():
        shutil.rmtree(options.to / lora.FOLDER)
        print(f"{options.to / lora.FOLDER}: removed, because it was made for other weights")
    export(weights, state["config"], load_tokenizer(options.run), options.to, records_of(state), texts)
    write_json(options.to / TRAINING, record)
    print(f"{options.to}: step {state['step']}, {state['tokens']:,} tokens, {state['elapsed'] / 60:.1f} minutes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
