"""One measurement: asks every prompt in every setting of the plan, and returns what was counted as JSON-ready data."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from trimode.api.fields import Mode
from trimode.engines.base import Floats, Row
from trimode.engines.onnx.engine import OnnxRuntimeEngine
from trimode.runtime import Runtime
from trimode_convert.checkpoint.checkpoint import Checkpoint

from ..common import NANO
from ..common.ask import SLOTS, Answer, ask, open_runtime
from ..common.progress import MeasureError
from ..common.prompts import Prompt
from ..common.results import read
from . import settings
from .claims import conclude, needed
from .pictures import prompt
from .prompts import forms
from .settings import CODE_TOKENS, MAX_TOKENS, PICTURE_TOKENS, Plan, Setting
from .shared_weights import shared
from .tally import Counts, by_domain, costs, same, together

Advance = Callable[[str], None]


class Desk:
    """One runtime, the prompts it is asked, their right replies and the autoregressive answers to compare with."""

    def __init__(self, runtime: Runtime, prompts: Sequence[Prompt], advance: Advance, most: int | None = None) -> None:
        self.runtime, self.prompts, self._advance, self._most = runtime, prompts, advance, most or MAX_TOKENS
        if runtime.tokenizer is None:
            raise MeasureError("the bundle has no tokenizer")
        self.tokenizer = runtime.tokenizer
        self.right = [self._right(prompt) for prompt in prompts]
        self.reference: list[Answer] = []

    def _right(self, prompt: Prompt) -> list[int] | None:
        """Return the ids of the prompt's only right reply with its end, or None."""
        if prompt.answer is None:
            return None
        ids = [*self.tokenizer.encode(prompt.answer), self.runtime.manifest.eos_token_id]
        if len(ids) > self._most:
            raise MeasureError(f"a right reply of {prompt.domain} has {len(ids)} tokens, answers end at {self._most}")
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
        return {**asdict(setting), "domains": by_domain(prompts, answers, right, [reference[i] for i in indices])}

    def ask(self, setting: Setting, asked: Sequence[Prompt], **fields: Any) -> list[Answer]:
        """Return the answers to `asked`; drafts' cycles are recorded."""
        name = " ".join(str(v) for v in (setting.mode, setting.block_length, setting.precision) if v)
        drafts = setting.mode == Mode.SELF_SPECULATION
        shared = {**setting.fields, **fields, "stream": drafts, "return_token_ids": True}
        limits = [CODE_TOKENS if prompt.messages is None else self._most for prompt in asked]
        requests = [{**p.fields, **shared, "max_tokens": most} for p, most in zip(asked, limits, strict=True)]
        return ask(self.runtime, requests, SLOTS, answered=partial(self._advance, name)).answers


def measure(plan: Plan, advance: Advance) -> dict[str, Any]:
    """Return everything that the card says; `advance` is called once per answer or text."""
    began = time.perf_counter()
    runtime = open_runtime(plan.bundle)
    seconds = time.perf_counter() - began
    try:
        adapter, few = runtime.manifest.adapter, plan.few
        desk = Desk(runtime, plan.prompts, advance)
        runs = [run for setting in settings.on_every_prompt(adapter) for run in desk.run_every(setting, few)]
        runs += [desk.run(setting, few) for setting in plan.swept]
        found = {
            "settings": {
                "model": runtime.manifest.model,
                "adapter": adapter,
                "engine": f"ONNX Runtime {version('onnxruntime')}, CPU execution provider",
                "chats": sum(prompt.messages is not None for prompt in plan.prompts),
                "plain_texts": sum(prompt.messages is None for prompt in plan.prompts),
                "sweep_per_domain": plan.amounts.swept,
                "max_tokens": MAX_TOKENS,
                "plain_text_max_tokens": CODE_TOKENS,
            },
            "checkpoint": {**facts(plan.checkpoint), "load_seconds": round(seconds, 2)},
            "runs": runs,
            "forms": _forms(desk, [plan.prompts[i] for i in few]),
            "perplexity": _perplexity(plan, desk, advance),
            "human_eval": _human_eval(desk, plan),
            **_pictures(plan, runtime, advance),
        }
    finally:
        runtime.close()
    for precision, bundle in plan.others.items():
        runs += _in_fewer_bits(plan, precision, bundle, desk.reference, advance)
    conclude(found)
    return found


def facts(checkpoint: Path) -> dict[str, Any]:
    """Return the checkpoint's hash, parameters and size: of its tensors, and of all files of the folder."""
    with Checkpoint.open(checkpoint) as opened:
        return {
            "hash": opened.hash(),
            "parameters": opened.parameters,
            "tensor_megabytes": round(opened.size() / 1e6, 1),
            "megabytes": round(sum(file.stat().st_size for file in checkpoint.rglob("*") if file.is_file()) / 1e6, 1),
        }


def _pictures(plan: Plan, runtime: Runtime, advance: Advance) -> dict[str, Any]:
    """Return the answers to questions on pictures in every mode, and those with blank pictures in their places."""
    scope = plan.scope
    if scope is None:
        return {}
    drawn, runs = scope.questions(plan.amounts.pictures), []
    for blank in (False, True):
        desk = Desk(runtime, [prompt(one, blank=blank) for one in drawn], advance, PICTURE_TOKENS)
        for setting in settings.on_pictures(plan.adapter):
            runs += [{**run, "blank": blank} for run in desk.run_every(setting)]
    asked = {**asdict(scope), "per_domain": plan.amounts.pictures, "max_tokens": PICTURE_TOKENS}
    known = needed(read(NANO / "quality.json"), Mode.AUTOREGRESSIVE)["all"]["accuracy"]
    text = {**shared(plan.checkpoint, NANO), "accuracy": known}
    return {"pictures": {"asked": asked, "chance": scope.chance(), "language_model": text, "runs": runs}}


def _in_fewer_bits(
    plan: Plan, precision: str, bundle: Path, reference: list[Answer], advance: Advance
) -> list[dict[str, Any]]:
    """Return each mode in a precision: autoregressive beside float32, the others beside its own autoregressive."""
    runtime = open_runtime(bundle)
    try:
        desk = Desk(runtime, plan.prompts, advance)
        desk.reference = reference
        modes = settings.main_settings(runtime.manifest.adapter, precision)
        return [run for setting in modes for run in desk.run_every(setting)]
    finally:
        runtime.close()


def _forms(desk: Desk, asked: Sequence[Prompt]) -> dict[str, Any]:
    """Return how many answers are right in every other form of a chat, greedy and autoregressive."""
    found = {}
    for form in forms(asked):
        answers = desk.ask(settings.autoregressive(), form.prompts, **form.fields)
        given = [(answer.chunk.text, answer.chunk.finish_reason) for answer in answers]
        right = sum(one == (text, "stop") for one, text in zip(given, form.right, strict=True))
        found[form.name] = {"asked": len(answers), "exact": right}
    return found


def _human_eval(desk: Desk, plan: Plan) -> dict[str, Any]:
    asked = [problem.asked for problem in plan.problems]
    runs: list[dict[str, Any]] = []
    reference: list[Answer] = []
    for setting in plan.on_problems if asked else ():
        answers = desk.ask(setting, asked)
        reference = reference or answers
        counts = {**costs(answers), "same_as_autoregressive": sum(map(same, answers, reference))}
        runs.append({**asdict(setting), "all": counts})
    return {"problems": len(asked), "max_tokens": CODE_TOKENS, "runs": runs}


def _perplexity(plan: Plan, desk: Desk, advance: Advance) -> dict[str, Any]:
    """Return it of right replies and held-out code by domain, and of HumanEval's problems with their solutions.

    Each text takes one causal pass of an engine of its own.
    """
    engine = OnnxRuntimeEngine.open(plan.bundle, threads=0, spin=False, max_slots=1)
    slot = engine.allocate(block=False)
    found: defaultdict[str, list[Counts]] = defaultdict(list)
    for asked in [*plan.prompts, *(problem.solved for problem in plan.problems)]:
        before, counted = _parts(desk, asked)
        ids = np.array([*before, *counted], dtype=np.int64)  # (S,)
        want = np.arange(len(before) - 1, len(ids) - 1)  # the rows that predict the counted tokens
        logits = engine.run([Row(slot, ids, 0, "causal", want, keep=False)])[0].logits
        size = len((asked.answer or desk.tokenizer.decode(counted)).encode())
        lost = float(nats(logits, ids[len(before) :]).sum())
        found[asked.domain].append({"tokens": len(counted), "bytes": size, "nats": lost})
        advance("perplexity")
    known = {name: together(entries) for name, entries in found.items()}
    problems = {"human_eval": known.pop("human_eval")} if plan.problems else {}
    return {"domains": known, **problems}


def _parts(desk: Desk, prompt: Prompt) -> tuple[list[int], list[int]]:
    """Return the ids before the text whose perplexity is counted, at least one, and the ids counted."""
    encode = desk.tokenizer.encode
    if prompt.messages is None or prompt.answer is None:
        ids = encode(prompt.text or "")
        return ids[:1], ids[1:]
    before = encode(desk.tokenizer.render_chat(prompt.messages, enable_thinking=False))
    return before, [*encode(prompt.answer), desk.runtime.manifest.eos_token_id]


def nats(logits: Floats, ids: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return (R,) the negative log-probability of `ids` (R,) under `logits` (R, V)."""
    wide = logits.astype(np.float64)
    top = wide.max(axis=-1)  # (R,)
    return np.asarray(top + np.log(np.exp(wide - top[:, None]).sum(axis=-1)) - wide[np.arange(len(ids)), ids])
