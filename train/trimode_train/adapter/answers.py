"""`python -m trimode_train.adapter.answers RECIPE`: lets a model answer prompts, for its draft adapter to learn from.

Answers are appended to a file as they come, so that a run that was stopped goes on where it was. Knows how answers are
asked for and kept; knows nothing about training.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from random import Random

from trimode.config import ServerConfig
from trimode.runtime import Runtime
from trimode.text.tokenizer import Tokenizer

from ..data.answered import HELD_OUT, TRAINING, Answered, load
from ..prepare import ROOT, RUNS
from ..training.bar import Bar
from .asked import KINDS, Asked, listed
from .command import recipe_parser
from .recipe import AnswerOptions, LlamaRecipe

Message = dict[str, str]


def mend(path: Path) -> None:
    """Take a last line that was cut short out of a file of answers, which is replaced whole or not at all."""
    if not path.exists():
        return
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        beside = path.with_name(f"{path.name}.partial-{os.getpid()}")
        beside.write_text(whole, encoding="utf-8")
        beside.replace(path)


def write_prompts(answers: Iterable[Answered], path: Path) -> None:
    """Write the prompts of first turns as lines of a checkpoint's `heldout.jsonl`: `domain`, `messages`."""
    first = [one for one in answers if one.turn == 0]
    lines = [{"domain": one.kind, "messages": [{"role": "user", "content": one.text}]} for one in first]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


class Answerer:
    """A model that answers, `at_once` prompts at a time."""

    def __init__(self, bundle: Path, options: AnswerOptions) -> None:
        self.options = options
        config = ServerConfig(
            bundle=bundle.resolve(),
            threads=options.threads,
            max_slots=options.at_once,
            max_queue=2 * options.at_once,
            prefix_cache_mib=0,
        )
        self.runtime = Runtime.open(config)
        manifest = self.runtime.manifest
        tokenizer = Tokenizer.load(bundle, manifest.vocab_size, manifest.capacity)
        if tokenizer is None:
            raise SystemExit(f"{bundle}: the bundle has no tokenizer, which prompts need")
        self.tokenizer, self.end = tokenizer, manifest.eos_token_id

    def close(self) -> None:
        """Let the model go."""
        self.runtime.close()

    def answer(self, asked: Asked, number: int) -> list[Answered]:
        """Answer a prompt, and its follow-up if it has one; `number` seeds the sampling and decides the temperature."""
        greedy = Random(f"{asked.text} greedy").random() >= self.options.sampled
        temperature = 0.0 if greedy else self.options.temperature
        messages: list[Message] = []
        found: list[Answered] = []
        for turn, text in enumerate([asked.text, *([asked.follow_up] if asked.follow_up else [])]):
            messages.append({"role": "user", "content": text})
            prompt = self.tokenizer.render_chat(messages, enable_thinking=False, allow_special_tokens=False)
            ids = self.tokenizer.encode(prompt, marked=True)
            if len(ids) > self.options.longest_prompt:
                break
            request = {
                "messages": list(messages),
                "mode": "autoregressive",
                "temperature": temperature,
                "seed": number,
                "max_tokens": self.options.max_tokens,
            }
            chunk = self.runtime.generate(request)
            reply, closed = list(chunk.token_ids), chunk.finish_reason == "stop"
            if closed and reply[-1:] != [self.end]:
                reply.append(self.end)
            if len(reply) > 1:
                found.append(Answered(asked.kind, asked.text, turn, temperature, [*ids, *reply], len(ids), closed))
            messages.append({"role": "assistant", "content": chunk.text})
        return found

    def answers(self, prompts: Iterable[tuple[int, Asked]], stopped: threading.Event) -> Iterator[list[Answered]]:
        """Yield the answers to numbered prompts as they come, in their order; none begins after `stopped`."""

        def one(numbered: tuple[int, Asked]) -> list[Answered]:
            number, asked = numbered
            return [] if stopped.is_set() else self.answer(asked, number)

        with ThreadPoolExecutor(self.options.at_once) as pool:
            yield from pool.map(one, prompts)


def write(answerer: Answerer, prompts: list[Asked], path: Path, bar: Bar) -> int:
    """Append the answers to those prompts that `path` does not have yet; return how many answers it has then."""
    path.parent.mkdir(parents=True, exist_ok=True)
    mend(path)
    before = load(path)
    known = {one.text for one in before}
    todo = [(number, asked) for number, asked in enumerate(prompts) if asked.text not in known]
    count, tokens, stopped = len(before), 0, threading.Event()
    with path.open("a", encoding="utf-8") as file:
        try:
            for done, found in enumerate(answerer.answers(todo, stopped), start=1):
                for one in found:
                    file.write(json.dumps(asdict(one)) + "\n")
                    count, tokens = count + 1, tokens + len(one.ids) - one.start
                file.flush()
                line = f"{path.name}: {done} of {len(todo)} prompts, {tokens:,} tokens"
                bar.update(done / len(todo), line)
                if not bar.is_shown and done % 100 == 0:
                    bar.print(line)
        finally:
            stopped.set()
    return count


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    what = "Let a served model answer prompts, for its draft adapter to learn from; goes on where it was."
    made = recipe_parser("answers", what)
    made.add_argument("--bundle", type=Path, metavar="DIR", help="the bundle that answers [the recipe's]")
    made.add_argument("--prompts", type=int, metavar="N", help="prompts to train on, in place of the recipe's number")
    return made.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status, 130 when interrupted."""
    options = _parse(arguments)
    recipe = LlamaRecipe.load(options.recipe)
    folder = options.out or RUNS / recipe.name
    bar = Bar("answers")
    answerer = Answerer(options.bundle or ROOT / recipe.answers.bundle, recipe.answers)
    try:
        for name, held_out, count in (
            (HELD_OUT, True, recipe.answers.held_out),
            (TRAINING, False, options.prompts or recipe.answers.prompts),
        ):
            total = write(answerer, listed(KINDS, count, recipe.seed, held_out), folder / name, bar)
            bar.print(f"{folder / name}: {total:,} answers")
    except KeyboardInterrupt:
        bar.print(f"{folder}: stopped; the same command goes on")
        return 130
    finally:
        bar.stop()
        answerer.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
