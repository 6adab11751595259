"""One measurement: asks every prompt in every setting of the plan, and returns what was counted as JSON-ready data."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from trimode.api.fields import Mode
from trimode.bundle.manifest import Manifest
from trimode.runtime import Runtime
from trimode_convert.checkpoint.checkpoint import Checkpoint

from ..common.ask import Answer, ask, open_runtime
from ..common.prompts import Prompt, load
from . import humaneval, perplexity, settings
from .claims import conclude
from .forms import forms
from .settings import CODE_TOKENS, MAX_TOKENS, Setting
from .tally import by_domain, costs, same

Advance = Callable[[str], None]
HELD_OUT = "heldout.jsonl"


@dataclass(frozen=True)
class Plan:
    """What is asked: a checkpoint's held-out prompts, and how many of them in the sweep."""

    checkpoint: Path
    bundle: Path
    int8_bundle: Path | None
    prompts: list[Prompt]
    sweep_per_domain: int
    problems: list[humaneval.Problem]

    @classmethod
    def load(
        cls, checkpoint: Path, bundle: Path, int8_bundle: Path | None, per_domain: int, swept: int, problems: int
    ) -> Plan:
        """Read at most `per_domain` prompts of a domain, `swept` of them for the sweep, and `problems` of HumanEval.

        Raises:
            ValueError: the bundles are not this checkpoint's, or not of their precision.
        """
        with Checkpoint.open(checkpoint) as opened:
            own = opened.hash()
        for folder, precision in ((bundle, "float32"), (int8_bundle, "int8")):
            if folder is not None:
                manifest = Manifest.load(folder)
                if manifest.precision != precision:
                    raise ValueError(f"{folder} is in {manifest.precision}, needed is {precision}")
                if manifest.checkpoint_hash != own:
                    raise ValueError(f"{folder} was not made from {checkpoint} as it is now: build it again")
        prompts = load(checkpoint / HELD_OUT, per_domain)
        return cls(checkpoint, bundle, int8_bundle, prompts, swept, humaneval.read(problems) if problems else [])

    @property
    def adapter(self) -> bool:
        """Whether the bundle has a draft adapter."""
        return Manifest.load(self.bundle).adapter

    @property
    def few(self) -> list[int]:
        """The sweep's prompts, by their place: the first ones of every domain of chats."""
        turns = len(load(self.checkpoint / HELD_OUT, self.sweep_per_domain))  # the domains take turns in `prompts`
        return [index for index, prompt in enumerate(self.prompts[:turns]) if prompt.answer is not None]

    @property
    def sweep(self) -> list[Setting]:
        """The sweep's settings that are not asked on every prompt anyway."""
        known = [replace(setting, prompts="sweep") for setting in settings.on_every_prompt(self.adapter)]
        return [setting for setting in settings.sweep() if setting not in known]

    @property
    def on_problems(self) -> list[Setting]:
        """The settings that HumanEval is asked in."""
        own = settings.main_settings(self.adapter, "float32")
        return [*own, settings.self_speculation(settings.BLOCKS[0], False)] if self.adapter else own

    def parts(self) -> list[tuple[str, int]]:
        """Return what is done and how many answers or texts that is."""
        every, few = len(self.prompts), self.few
        asked = [form for form in forms([self.prompts[i] for i in few]) for _ in form.prompts]
        return [
            ("every prompt", every * len(settings.on_every_prompt(self.adapter))),
            ("sweep", len(few) * len(self.sweep)),
            ("other forms", len(asked)),
            ("HumanEval", len(self.problems) * len(self.on_problems)),
            ("int8", every * len(settings.main_settings(self.adapter, "int8")) if self.int8_bundle else 0),
            ("perplexity", every + len(self.problems)),
        ]


class Desk:
    """One runtime, the prompts it is asked, their right replies and the autoregressive answers to compare with."""

    def __init__(self, runtime: Runtime, prompts: Sequence[Prompt], advance: Advance) -> None:
        self.runtime, self.prompts, self._advance = runtime, prompts, advance
        if runtime.tokenizer is None:
            raise ValueError("the bundle has no tokenizer")
        self.tokenizer = runtime.tokenizer
        self.right = [self._right(prompt) for prompt in prompts]
        self.reference: list[Answer] = []

    def _right(self, prompt: Prompt) -> list[int] | None:
        """Return the ids of the prompt's only right reply with its end, or None."""
        if prompt.answer is None:
            return None
        ids = [*self.tokenizer.encode(prompt.answer), self.runtime.manifest.eos_token_id]
        if len(ids) > MAX_TOKENS:
            raise ValueError(f"a right reply of {prompt.domain} has {len(ids)} tokens, answers end at {MAX_TOKENS}")
        return ids

    def run(self, setting: Setting, indices: Sequence[int]) -> dict[str, Any]:
        """Answer the prompts at `indices`."""
        answers = self.ask(setting, [self.prompts[i] for i in indices])
        return self._counted(setting, indices, answers, self.reference)

    def run_every(self, setting: Setting, few: Sequence[int] = ()) -> list[dict[str, Any]]:
        """Answer all prompts; the answers at `few` are counted once more, for the sweep.

        Autoregressive answers are what later ones are compared with.
        """
        answers = self.ask(setting, self.prompts)
        reference = self.reference or answers
        if setting.mode == Mode.AUTOREGRESSIVE:
            self.reference = answers
        counted = [self._counted(setting, range(len(answers)), answers, reference)]
        if few:
            counted.append(self._counted(replace(setting, prompts="sweep"), few, [answers[i] for i in few], reference))
        return counted

    def _counted(
        self, setting: Setting, indices: Sequence[int], answers: Sequence[Answer], reference: Sequence[Answer]
    ) -> dict[str, Any]:
        """Count the answers to the prompts at `indices`; `reference` has one for every prompt."""
        prompts, right = [self.prompts[i] for i in indices], [self.right[i] for i in indices]
        return {**setting.as_dict(), "domains": by_domain(prompts, answers, right, [reference[i] for i in indices])}

    def ask(self, setting: Setting, asked: Sequence[Prompt], **fields: Any) -> list[Answer]:
        """Return the answers to `asked`; drafts' cycles are recorded."""
        name = " ".join(str(v) for v in (setting.mode, setting.block_length, setting.precision) if v)
        drafts = setting.mode == Mode.SELF_SPECULATION
        shared = {**setting.fields, **fields, "stream": drafts, "return_token_ids": True}
        limits = [CODE_TOKENS if prompt.messages is None else MAX_TOKENS for prompt in asked]
        requests = [{**p.fields, **shared, "max_tokens": most} for p, most in zip(asked, limits, strict=True)]
        return ask(self.runtime, requests, answered=partial(self._advance, name)).answers


def measure(plan: Plan, advance: Advance) -> dict[str, Any]:
    """Return everything that the card tells; `advance` is called once per answer or text."""
    began = time.perf_counter()
    runtime = open_runtime(plan.bundle)
    seconds = time.perf_counter() - began
    try:
        adapter, few = runtime.manifest.adapter, plan.few
        desk = Desk(runtime, plan.prompts, advance)
        runs = [run for setting in settings.on_every_prompt(adapter) for run in desk.run_every(setting, few)]
        runs += [desk.run(setting, few) for setting in plan.sweep]
        told = {
            "settings": {
                "model": runtime.manifest.model,
                "adapter": adapter,
                "engine": f"ONNX Runtime {version('onnxruntime')}, CPU execution provider",
                "chats": sum(prompt.messages is not None for prompt in plan.prompts),
                "plain_texts": sum(prompt.messages is None for prompt in plan.prompts),
                "sweep_per_domain": plan.sweep_per_domain,
                "max_tokens": MAX_TOKENS,
                "plain_text_max_tokens": CODE_TOKENS,
            },
            "checkpoint": {**facts(plan.checkpoint), "load_seconds": round(seconds, 2)},
            "runs": runs,
            "forms": _forms(desk, [plan.prompts[i] for i in few]),
            "perplexity": _perplexity(plan, desk, advance),
            "human_eval": _human_eval(desk, plan),
        }
    finally:
        runtime.close()
    if plan.int8_bundle is not None:
        runs += _int8(plan, desk.reference, advance)
    conclude(told)
    return told


def facts(checkpoint: Path) -> dict[str, Any]:
    """Return the checkpoint's hash, parameters and size: of its tensors, and of all files of the folder."""
    with Checkpoint.open(checkpoint) as opened:
        return {
            "hash": opened.hash(),
            "parameters": opened.parameters,
            "tensor_megabytes": round(opened.size() / 1e6, 1),
            "megabytes": round(sum(file.stat().st_size for file in checkpoint.rglob("*") if file.is_file()) / 1e6, 1),
        }


def _int8(plan: Plan, reference: list[Answer], advance: Advance) -> list[dict[str, Any]]:
    """Return each mode in int8: autoregressive beside float32, the others beside int8's own autoregressive."""
    assert plan.int8_bundle is not None
    runtime = open_runtime(plan.int8_bundle)
    try:
        desk = Desk(runtime, plan.prompts, advance)
        desk.reference = reference
        modes = settings.main_settings(runtime.manifest.adapter, "int8")
        return [run for setting in modes for run in desk.run_every(setting)]
    finally:
        runtime.close()


def _forms(desk: Desk, asked: Sequence[Prompt]) -> dict[str, Any]:
    """Return how many answers are right in every other form of a chat, greedy and autoregressive."""
    found = {}
    for form in forms(asked):
        answers = desk.ask(settings.autoregressive(), form.prompts, **form.fields)
        right = sum(
            (answer.chunk.text, answer.chunk.finish_reason) == (text, "stop")
            for answer, text in zip(answers, form.right, strict=True)
        )
        found[form.name] = {"asked": len(answers), "exact": right}
    return found


def _human_eval(desk: Desk, plan: Plan) -> dict[str, Any]:
    asked = humaneval.prompts(plan.problems)
    runs: list[dict[str, Any]] = []
    reference: list[Answer] = []
    for setting in plan.on_problems if asked else ():
        answers = desk.ask(setting, asked)
        reference = reference or answers
        counts = costs(answers)
        counts["same_as_autoregressive"] = sum(map(same, answers, reference))
        runs.append({**setting.as_dict(), "all": counts})
    return {"problems": len(asked), "max_tokens": CODE_TOKENS, "runs": runs}


def _perplexity(plan: Plan, desk: Desk, advance: Advance) -> dict[str, Any]:
    """Return it of right replies and held-out code by domain, and of HumanEval's problems with their solutions."""
    counted = partial(advance, "perplexity")
    solved = [Prompt("human_eval", text=problem.prompt + problem.solution) for problem in plan.problems]
    known, texts = ((_text(desk, prompt) for prompt in prompts) for prompts in (plan.prompts, solved))
    domains = perplexity.measure(plan.bundle, known, counted)
    return {"domains": domains, **perplexity.measure(plan.bundle, texts, counted)}


def _text(desk: Desk, prompt: Prompt) -> perplexity.Text:
    encode = desk.tokenizer.encode
    if prompt.messages is None or prompt.answer is None:
        ids = encode(prompt.text or "")
        return perplexity.Text(prompt.domain, ids, 1, len(desk.tokenizer.decode(ids[1:]).encode()))
    before = encode(desk.tokenizer.render_chat(prompt.messages, enable_thinking=False))
    ids = [*before, *encode(prompt.answer), desk.runtime.manifest.eos_token_id]
    return perplexity.Text(prompt.domain, ids, len(before), len(prompt.answer.encode()))
