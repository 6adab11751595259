"""One measurement: asks every prompt in every setting of the plan, and returns what was counted as JSON-ready data."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from trimode.api.fields import Mode
from trimode.bundle.manifest import Manifest
from trimode.runtime import Runtime
from trimode.text.tokenizer import Tokenizer
from trimode_convert.checkpoint.checkpoint import Checkpoint

from ..common.prompts import Prompt, load
from . import humaneval, perplexity, settings
from .claims import conclude
from .forms import forms
from .generate import Answer, answer_all, open_runtime
from .settings import CODE_TOKENS, MAX_TOKENS, Setting
from .tally import by_domain, costs

Advance = Callable[[str], None]


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
        prompts = load(checkpoint / "heldout.jsonl", per_domain)
        return cls(checkpoint, bundle, int8_bundle, prompts, swept, humaneval.read(problems) if problems else [])

    @property
    def adapter(self) -> bool:
        """Whether the bundle has a draft adapter."""
        return Manifest.load(self.bundle).adapter

    @property
    def few(self) -> list[int]:
        """The sweep's prompts, by their place: the first ones of every domain of chats."""
        seen: Counter[str] = Counter()
        chosen = []
        for index, prompt in enumerate(self.prompts):
            seen[prompt.domain] += 1
            if prompt.answer is not None and seen[prompt.domain] <= self.sweep_per_domain:
                chosen.append(index)
        return chosen

    @property
    def sweep(self) -> list[Setting]:
        """The sweep's settings that are not asked on every prompt anyway."""
        known = [on_sweep(setting) for setting in settings.on_every_prompt(self.adapter)]
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
        self.right = [right_ids(runtime, prompt) for prompt in prompts]
        self.reference: list[Answer] = []

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
            counted.append(self._counted(on_sweep(setting), few, [answers[i] for i in few], reference))
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
        return answer_all(
            self.runtime, asked, {**setting.fields, **fields}, limit, lambda: self._advance(name), stream=drafts
        )


def on_sweep(setting: Setting) -> Setting:
    """Return the same way of decoding, on the sweep's prompts."""
    return replace(setting, prompts="sweep")


def limit(prompt: Prompt) -> int:
    """Return how many tokens an answer may have."""
    return CODE_TOKENS if prompt.messages is None else MAX_TOKENS


def right_ids(runtime: Runtime, prompt: Prompt) -> list[int] | None:
    """Return the ids of the prompt's only right reply with its end, or None."""
    if prompt.answer is None:
        return None
    ids = [*_tokenizer(runtime).encode(prompt.answer), runtime.manifest.eos_token_id]
    if len(ids) > MAX_TOKENS:
        raise ValueError(f"a right reply of {prompt.domain} has {len(ids)} tokens, answers end at {MAX_TOKENS}")
    return ids


def measure(plan: Plan, advance: Advance) -> dict[str, Any]:
    """Return everything that the card tells; `advance` is called once per answer or text."""
    began = time.perf_counter()
    runtime = open_runtime(plan.bundle)
    seconds = time.perf_counter() - began
    try:
        adapter = runtime.manifest.adapter
        desk = Desk(runtime, plan.prompts, advance)
        runs = [run for setting in settings.on_every_prompt(adapter) for run in desk.run_every(setting, plan.few)]
        runs += [desk.run(setting, plan.few) for setting in plan.sweep]
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
            "forms": _forms(desk, [plan.prompts[i] for i in plan.few]),
            "perplexity": _perplexity(plan, runtime, advance),
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
        right = sum(a.text == text and a.ended for a, text in zip(answers, form.right, strict=True))
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
        counts["same_as_autoregressive"] = sum(a.ids == b.ids for a, b in zip(answers, reference, strict=True))
        runs.append({**setting.as_dict(), "all": counts})
    return {"problems": len(asked), "max_tokens": CODE_TOKENS, "runs": runs}


def _perplexity(plan: Plan, runtime: Runtime, advance: Advance) -> dict[str, Any]:
    """Return it of right replies and held-out code by domain, and of HumanEval's problems with their solutions."""
    tokenizer = _tokenizer(runtime)
    count = lambda: advance("perplexity")  # noqa: E731
    held_out = (_known(tokenizer, prompt, runtime.manifest.eos_token_id) for prompt in plan.prompts)
    found: dict[str, Any] = {"domains": perplexity.measure(plan.bundle, held_out, count)}
    texts = [_plain(tokenizer, "human_eval", problem.prompt + problem.solution) for problem in plan.problems]
    return {**found, **perplexity.measure(plan.bundle, texts, count)}


def _known(tokenizer: Tokenizer, prompt: Prompt, end: int) -> perplexity.Text:
    if prompt.messages is None or prompt.answer is None:
        return _plain(tokenizer, prompt.domain, prompt.text or "")
    before = tokenizer.encode(tokenizer.render_chat(prompt.messages, enable_thinking=False))
    ids = [*before, *tokenizer.encode(prompt.answer), end]
    return perplexity.Text(prompt.domain, ids, len(before), len(prompt.answer.encode()))


def _plain(tokenizer: Tokenizer, name: str, text: str) -> perplexity.Text:
    ids = tokenizer.encode(text)
    return perplexity.Text(name, ids, 1, len(tokenizer.decode(ids[1:]).encode()))


def _tokenizer(runtime: Runtime) -> Tokenizer:
    if runtime.tokenizer is None:
        raise ValueError("the bundle has no tokenizer")
    return runtime.tokenizer


def count(parts: Iterable[tuple[str, int]]) -> int:
    """Return how many answers and texts all parts are together."""
    return sum(number for _, number in parts)
