"""`python -m trimode_train.overlap`: checks whether held-out text is in training, by messages and by n-grams of tokens.

Documents depend only on recipe, seed, batch number, code and packages, so it draws those of a run again. A run that
began with other code is therefore checked by its rule, not document by document. A recipe with `answers` learns from a
model's own answers: those in its run's folder are checked against the held-out ones there.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from rich.console import Console
from rich.progress import track
from rich.table import Table
from tokenizers import Tokenizer

from .data import answered
from .data.answer_overlap import counts_of, seen_prompts
from .data.archive import Archive
from .data.batches import batch_rng, plans
from .data.ngrams import Ids, Ngrams, copies, covered
from .data.packing import Document, Documents
from .data.recipe import Recipe
from .data.sources import SOURCES
from .data.tokenizer import load_tokenizer
from .model.checkpoint import write_json
from .prepare import ROOT, corpus_of
from .training import resumable


def replies(text: str) -> Iterator[str]:
    """Yield the replies of a rendered conversation; worked steps look the same whether thought or said."""
    for part in text.split("<|im_start|>assistant\n")[1:]:
        content = part.partition("<|im_end|>")[0].removeprefix("<think></think>").removeprefix("<think>\n")
        yield content.replace("\n</think>", "\n")


class HeldOut:
    """The records of heldout.jsonl, and what of them training has shown."""

    def __init__(self, records: list[dict[str, Any]], tokenizer: Tokenizer, n: int) -> None:
        self.tokenizer = tokenizer
        self.domains = [record["domain"] for record in records]
        self.prompts = [r["messages"][-1]["content"] if "messages" in r else r["prompt"] for r in records]
        self.replies = [record.get("answer") for record in records]
        self.ngrams = Ngrams([self._ids(*pair) for pair in zip(self.prompts, self.replies, strict=True)], n)
        self.seen_prompts: set[str] = set()
        self.seen_replies: set[str] = set()

    def _ids(self, prompt: str, reply: str | None) -> Ids:
        """Encode prompt and reply. The tokens between them are fewer than an n-gram has."""
        between = "<|im_end|>\n<|im_start|>assistant\n<think></think>"
        text = prompt if reply is None else f"{prompt}{between}{reply}<|im_end|>"
        return np.array(self.tokenizer.encode(text).ids, dtype=np.uint16)

    def show(self, drawn: list[Document]) -> None:
        """Note that training has these documents."""
        texts = self.tokenizer.decode_batch([document.ids for document in drawn], skip_special_tokens=False)
        for document in drawn:
            self.ngrams.show(np.array(document.ids, dtype=np.uint16))
        everything = "\0".join(texts)
        self.seen_prompts |= {prompt for prompt in self.prompts if prompt in everything}
        self.seen_replies |= {reply for text in texts for reply in replies(text) if reply in self.replies}

    def by_domain(self) -> dict[str, dict[str, int]]:
        """Count for each domain: prompts and replies asked and seen, n-grams held out and seen."""
        result: dict[str, Counter[str]] = {}
        for i, domain in enumerate(self.domains):
            shown = self.ngrams.shown(i)
            result.setdefault(domain, Counter()).update(
                asked=1,
                prompts_seen=int(self.prompts[i] in self.seen_prompts),
                replies=int(self.replies[i] is not None),
                replies_seen=int(self.replies[i] in self.seen_replies),
                ngrams=len(shown),
                ngrams_seen=int(shown.sum()),
            )
        return {domain: dict(counts) for domain, counts in result.items()}


def _encoded(tokenizer: Tokenizer, texts: list[str]) -> Iterator[Ids]:
    for encoding in tokenizer.encode_batch_fast(texts):
        yield np.array(encoding.ids, dtype=np.uint16)


def file_overlap(tokenizer: Tokenizer, n: int) -> dict[str, dict[str, Any]]:
    """Return for each source how much of its held-out files is also in training files, and the longest such copy."""
    held_out = [(source.name, name, text) for source in SOURCES for name, text in source.share(held_out=True)]
    ids = list(_encoded(tokenizer, [text for _, _, text in held_out]))
    ngrams = Ngrams(ids, n)
    for source in SOURCES:
        for file in _encoded(tokenizer, [text for _, text in source.share(held_out=False)]):
            ngrams.show(file)
    result: dict[str, dict[str, Any]] = {}
    for i, (origin, name, _) in enumerate(held_out):
        new = {"files": 0, "tokens": 0, "ngrams": 0, "ngrams_seen": 0, "tokens_in_copies": 0, "longest": {"tokens": 0}}
        counts, shown = result.setdefault(origin, new), ngrams.shown(i)
        pieces = copies(shown, n)
        counts["files"] += 1
        counts["tokens"] += len(ids[i])
        counts["ngrams"] += len(shown)
        counts["ngrams_seen"] += int(shown.sum())
        counts["tokens_in_copies"] += covered(pieces)
        for first, end in pieces:
            if end - first > counts["longest"]["tokens"]:
                text = tokenizer.decode(ids[i][first:end].tolist())
                counts["longest"] = {"tokens": end - first, "file": name, "begins": text.strip()[:60]}
    return result


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "-"


def tables(record: dict[str, Any]) -> Iterator[Table]:
    """Yield the tables to print: for each run held-out records by domain, then held-out files by source."""
    for run in record["runs"]:
        batches = f"{run['batches']:,} batches, " if "batches" in run else ""
        title = f"{run['recipe']}: {batches}{run['documents']:,} documents, {run['tokens']:,} tokens"
        table = Table("domain", "asked", "prompts seen", "replies seen", f"{run['n']}-grams seen", title=title)
        for domain, c in run["domains"].items():
            replies = f"{c['replies_seen']} of {c['replies']}" if c["replies"] else "-"
            share = _share(c["ngrams_seen"], c["ngrams"])
            table.add_row(domain, str(c["asked"]), str(c["prompts_seen"]), replies, share)
        yield table
    if "files" not in record:
        return
    n = record["files_n"]
    table = Table("held-out files of", "files", "tokens", f"{n}-grams seen", "tokens in copies", "longest copy")
    for source, c in record["files"].items():
        shares = _share(c["ngrams_seen"], c["ngrams"]), _share(c["tokens_in_copies"], c["tokens"])
        table.add_row(source, str(c["files"]), f"{c['tokens']:,}", *shares, str(c["longest"]["tokens"]))
    yield table


def _drawn(recipe: Recipe) -> int:
    path = ROOT / "train/runs" / recipe.name / "latest.pt"
    if not path.exists():
        raise SystemExit(f"{path} does not exist: give the number of batches drawn with --batches")
    state = resumable.load(path)
    drawn: int = state["drawn"] if "drawn" in state else state["step"]  # a run of an older version: a batch a step
    return drawn


def check_run(corpus: Documents, recipe: Recipe, batches: int, held_out: HeldOut, console: Console) -> dict[str, Any]:
    """Draw a run's batches again and return the counts."""
    count = tokens = 0
    for number in track(range(batches), recipe.name, console=console, disable=not console.is_terminal):
        drawn = [planned.document for planned in plans(batch_rng(number, recipe), corpus, recipe)]
        held_out.show(drawn)
        count, tokens = count + len(drawn), tokens + sum(len(document.ids) for document in drawn)
    return {
        "recipe": recipe.name,
        "seed": recipe.seed,
        "batches": batches,
        "documents": count,
        "tokens": tokens,
        "n": held_out.ngrams.n,
        "domains": held_out.by_domain(),
    }


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m trimode_train.overlap", description="Check whether held-out text is in a run's training text."
    )
    parser.add_argument(
        "--recipe",
        type=Path,
        action="append",
        metavar="FILE",
        help="the YAML file of a run, or of its stages; may be repeated [both stages of nano]",
    )
    parser.add_argument(
        "--archive", type=Path, metavar="FILE", help="check a run from this archive, in place of recipes"
    )
    parser.add_argument(
        "--run", type=Path, metavar="DIR", help="where the answers of a recipe with answers are [train/runs/<its name>]"
    )
    parser.add_argument("--batches", type=int, metavar="N", help="how many of each run's batches [all it has drawn]")
    parser.add_argument(
        "--ngram", type=int, default=13, metavar="N", help="tokens of an n-gram of the records [%(default)s]"
    )
    parser.add_argument(
        "--file-ngram",
        type=int,
        default=50,
        metavar="N",
        help="tokens of an n-gram of the held-out files [%(default)s]",
    )
    parser.add_argument(
        "--checkpoint",
        type=Path,
        default=ROOT / "checkpoints/nano",
        metavar="DIR",
        help="whose heldout.jsonl is read and overlap.json written",
    )
    return parser.parse_args(arguments)


def on_answers(path: Path) -> tuple[str, int, Path] | None:
    """Return name, seed and folder of answers of a recipe that learns from a model's own; None of another recipe."""
    values = yaml.safe_load(path.read_text())
    if "answers" not in values and "answers_of" not in values:
        return None
    return values["name"], values.get("seed", 1), ROOT / "train/runs" / values.get("answers_of", values["name"])


def check_answers(name: str, seed: int, folder: Path, n: int) -> tuple[dict[str, Any], set[str]]:
    """Return the counts of a run on answers, and the held-out prompts that are in training.

    Raises SystemExit where the folder lacks one of the two files of answers.
    """
    files = [folder / answered.TRAINING, folder / answered.HELD_OUT]
    training, held_out = (answered.load(file) for file in files)
    for file, found in zip(files, (training, held_out), strict=True):
        if not found:
            raise SystemExit(f"{file}: no answers; name the run's folder with --run")
    return {"recipe": name, "seed": seed, **counts_of(training, held_out, n)}, seen_prompts(training, held_out)


def _drawn_runs(paths: list[Path], options: argparse.Namespace) -> Iterator[tuple[Documents, Recipe]]:
    """Yield what each run draws from: an archive, or what recipes say."""
    if options.archive:
        archive = Archive.load(options.archive)
        yield archive.corpus, archive.recipe
    for path in paths:
        tokenizer = load_tokenizer(options.checkpoint)
        yield from ((corpus_of(tokenizer, recipe), recipe) for recipe in Recipe.stages(path))


def check(options: argparse.Namespace, console: Console) -> tuple[dict[str, Any], set[str]]:
    """Return the record of all runs that the command line names, and the held-out prompts that are in training."""
    paths = options.recipe or [ROOT / "train/nano-cpu.yaml", ROOT / "train/nano-cpu-2.yaml"]
    results, found, drawn = [], set[str](), []
    for path in [] if options.archive else paths:
        if named := on_answers(path):
            name, seed, folder = named
            counts, seen = check_answers(name, seed, options.run or folder, options.ngram)
            results.append(counts)
            found |= seen
        else:
            drawn.append(path)
    if not drawn and not options.archive:
        return {"runs": results}, found
    tokenizer = load_tokenizer(options.checkpoint)
    records = [json.loads(line) for line in (options.checkpoint / "heldout.jsonl").read_text().splitlines()]
    for corpus, recipe in _drawn_runs(drawn, options):
        held_out = HeldOut(records, tokenizer, options.ngram)
        batches = _drawn(recipe) if options.batches is None else options.batches
        results.append(check_run(corpus, recipe, batches, held_out, console))
        found |= held_out.seen_prompts
    files = file_overlap(tokenizer, options.file_ngram)
    return {"runs": results, "files_n": options.file_ngram, "files": files}, found


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status, 1 if a held-out prompt is in training."""
    options, console = _parse(arguments), Console()
    record, found = check(options, console)
    write_json(options.checkpoint / "overlap.json", record)
    for table in tables(record):
        console.print(table)
    for prompt in sorted(found):
        console.print(f"held out but in training: {prompt!r}", markup=False)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
