"""One request as generate understands it: a request to generate for each answer, and how the answers are to look.

The endpoints build it from their own bodies; what they have in common is here. Pure: it needs no server.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ....api.checks import check_field
from ....api.fields import MAX_GAP_TOKENS, MAX_STOP_WORDS, MAX_USER_CHARACTERS, Mode
from ....errors import Described
from ..tools.wanted import Tools
from .dialogue import read_content
from .errors import NAMES, refused
from .facts import Facts
from .fields import Given
from .form import form_of
from .kinds import mapping, text

SEEDS = 2**63  # generate takes 0 to 2**63 - 1
NEUTRAL = {"presence_penalty": 0.0, "frequency_penalty": 0.0, "repetition_penalty": 1.0, "min_tokens": 0,
           "min_length": 0, "skip_special_tokens": True, "include_stop_str_in_output": False, "stream_interval": 1,
           "stream_interval_ms": 0}  # fmt: skip
"""Values of fields that generate refuses where gaps are filled, although these ask for nothing."""
ALWAYS = ("return_finish_reason", "return_num_input_tokens", "return_num_output_tokens", "return_perf_metrics")
"""What is asked of generate in every request: the usage is made of it."""


@dataclass(frozen=True)
class Asked:
    """What a request asks for.

    Attributes:
        model: the model's name as the client said it.
        jobs: a request to generate for each answer, in the order of the choices.
        prompts: how many prompts there are; each has the same number of jobs.
        stream: whether to send text as it is committed.
        include_usage: whether a stream ends with the usage; `continuous` says that every chunk has it as it is then.
        thinking: whether the answer begins with a thought; `show_thought` says whether it is sent.
        stops: the texts that end an answer; `cut` says that the front cuts there, not the model.
        stop_ids: the tokens that end an answer in addition to the model's own; `show_stop` says whether what ended it
            stays in the text, `show_special` whether special tokens stand there.
        logprobs: None, or how many of the likeliest tokens go with each one; `with_end` says that the token that
            ended the answer has an entry too.
        prompt_logprobs: the same for the tokens of the prompt, in a list of its own.
        silent: whether nothing of the answer is shown, because only the prompt is asked for.
        truncate: how many of the last tokens of a prompt count; -1 for as many as leave room, None for all.
        ids_as_text: whether tokens of logprobs are written as `token_id:ID`.
        return_ids: whether the ids of the tokens go with each choice; prompt_ids: those of each prompt, once they are
            known.
        echo: for each answer, the text that stands in front of it.
        keep: of the answers to a prompt, how many likeliest ones are returned; None for all.
        extras: return_perf_metrics and return_effective_params, where the client asks for what they give.
        tools: those that the answer may call, None if there are none.
        listed: the tools that the chat template lists; None where it has no part in them.
        marked: generate writes special tokens into the text, which tell calls from words.
        names: what the client calls generate's fields, for errors.
    """

    model: str
    jobs: tuple[Mapping[str, Any], ...]
    prompts: int = 1
    stream: bool = False
    include_usage: bool = False
    continuous: bool = False
    thinking: bool = False
    show_thought: bool = True
    stops: tuple[str, ...] = ()
    cut: bool = False
    stop_ids: tuple[int, ...] = ()
    show_stop: bool = False
    show_special: bool = False
    logprobs: int | None = None
    with_end: bool = False
    prompt_logprobs: int | None = None
    silent: bool = False
    truncate: int | None = None
    ids_as_text: bool = False
    return_ids: bool = False
    prompt_ids: tuple[tuple[int, ...], ...] = ()
    echo: tuple[str, ...] = ()
    keep: int | None = None
    extras: tuple[str, ...] = ()
    tools: Tools | None = None
    listed: tuple[dict[str, Any], ...] | None = None
    marked: bool = False
    names: Mapping[str, str] = field(default_factory=lambda: NAMES)

    @property
    def calls_only(self) -> bool:
        """Whether the answer is made of calls, without a word."""
        return self.tools is not None and self.tools.choice == "required"


def ask(given: Given, facts: Facts, *, infill: bool = False, thinking: bool = False) -> Asked:
    """Return what all endpoints have in common, with one job that has no prompt yet.

    Raises:
        FaceError: no such model, or fields that do not go together.
    """
    model = given.get("model", facts.names.names[0])
    job = dict(given.knobs)
    _set_mode(job, facts.names.mode_of(model))
    _set_sampling(job, given, facts)
    stops = _stops(given)
    if stops and not infill:
        if len(stops) > MAX_STOP_WORDS:
            raise refused("stop", f"may hold at most {MAX_STOP_WORDS} texts", Described(f"{len(stops)} texts"))
        job["stop_words"] = stops
    _set_length(job, given, infill=infill)
    show_stop = bool(job.get("include_stop_str_in_output"))
    if infill:
        job.pop("include_stop_str_in_output", None)  # the front cuts
        job = {name: value for name, value in job.items() if name not in NEUTRAL or value != NEUTRAL[name]}
    form, form_names = form_of(given)
    job |= form | _prediction(given)
    extras = tuple(name for name in ("return_perf_metrics", "return_effective_params") if job.get(name))
    return_ids = bool(given.get("return_token_ids"))
    stop_ids = check_field("stop_token_ids", job.get("stop_token_ids")) or ()
    stream = bool(given.get("stream"))
    include_usage, continuous = _usage_wanted(given.get("stream_options", {}), stream=stream)
    if return_ids or ((stops or stop_ids) and not infill) or thinking or continuous:
        job["return_token_ids"] = True
    job |= dict.fromkeys(ALWAYS, True)
    if stream and not infill:
        job["stream"] = True
    return Asked(
        model=model,
        jobs=(job,),
        stream=stream,
        include_usage=include_usage,
        continuous=continuous,
        thinking=thinking,
        show_thought=given.get("include_reasoning", True),
        stops=tuple(stops),
        cut=infill,
        stop_ids=stop_ids,
        show_stop=show_stop,
        show_special=not job.get("skip_special_tokens", True),
        return_ids=return_ids,
        truncate=given.get("truncate_prompt_tokens"),
        extras=extras,
        names={**NAMES, **_length_names(given), **form_names},
    )


def _set_mode(job: dict[str, Any], named: Mode | None) -> None:
    if named is None:
        return
    if job.setdefault("mode", named.value) != named:
        raise refused("mode", f"must be {named}, as the model's name says, or left out", job["mode"], "given_twice")


def _set_sampling(job: dict[str, Any], given: Given, facts: Facts) -> None:
    """Set what says how a token is taken."""
    for name, default in (("temperature", facts.temperature), ("top_p", facts.top_p)):
        if (value := given.get(name, default)) is not None:
            job[name] = value
    if "top_k" in given.served:
        job["top_k"] = max(given.get("top_k"), 0)
    for name in ("presence_penalty", "frequency_penalty"):
        if name in given.served:
            job[name] = given.get(name)
    if "seed" in given.served and "random_seed" in given.served:
        raise refused("random_seed", "must not be given together with seed", given.get("random_seed"), "given_twice")
    seed = given.get("seed", given.get("random_seed"))
    if seed is not None:
        job["seed"] = seed % SEEDS
    if user := given.get("user"):
        job["user"] = user if len(user) <= MAX_USER_CHARACTERS else hashlib.sha256(user.encode()).hexdigest()


def _prediction(given: Given) -> dict[str, str]:
    """Return the text that a client expects, given as OpenAI has it or as the text alone; nothing without one."""
    value = given.get("prediction")
    if value is None:
        return {}
    if isinstance(value, str):
        return {"prediction": text("prediction", value)}
    found = mapping("prediction", value)
    if found.get("type") != "content":
        raise refused("prediction.type", "must be content", found.get("type"))
    for name in found:
        if name not in ("type", "content"):
            raise refused(f"prediction.{name}"[:80], "is not a key", found[name], "unknown_field")
    return {"prediction": read_content("prediction.content", found.get("content"))}


def _stops(given: Given) -> list[str]:
    if "stop" in given.served and "stop_words" in given.served:
        raise refused("stop_words", "must not be given together with stop", given.get("stop_words"), "given_twice")
    found: list[str] = given.get("stop", given.get("stop_words", []))
    return found


def _set_length(job: dict[str, Any], given: Given, *, infill: bool) -> None:
    """Set the most tokens, and whether the end token counts."""
    most = given.get("max_completion_tokens", given.get("max_output_tokens", given.get("max_tokens")))
    if most is not None:
        job["max_tokens"] = min(most, MAX_GAP_TOKENS) if infill else most
    if given.get("ignore_eos") and not infill and job.setdefault("end_id", -1) != -1:
        raise refused("end_id", "must not be given together with ignore_eos", job["end_id"])


def _length_names(given: Given) -> dict[str, str]:
    names = ("max_completion_tokens", "max_output_tokens")
    return next(({"max_tokens": name} for name in names if name in given.served), {})


def _usage_wanted(options: Mapping[str, Any], *, stream: bool) -> tuple[bool, bool]:
    """Return whether a stream has the usage, and whether every chunk of it does, which vLLM wants both said for."""
    known = {"include_usage", "continuous_usage_stats", "include_obfuscation"}
    for name, value in options.items():
        if name not in known:
            raise refused(f"stream_options.{name}"[:80], "is not an option of streams", value, "unknown_field")
        if not isinstance(value, bool):
            raise refused(f"stream_options.{name}", "must be true or false", value, "wrong_type")
        if value and name == "include_obfuscation":
            raise refused(f"stream_options.{name}", "must be false", value, "not_applicable")
    if options and not stream:
        raise refused("stream_options", "needs stream", dict(options), "not_applicable")
    include = bool(options.get("include_usage"))
    return include, include and bool(options.get("continuous_usage_stats"))


def repeated(asked: Asked, prompts: list[dict[str, Any]], count: int) -> Asked:
    """Return `asked` with `count` jobs for each prompt; of the jobs of a prompt each takes the next seed."""
    (job,) = asked.jobs
    if count == 1 and prompts == [{}]:
        return asked
    jobs = []
    for prompt in prompts:
        for at in range(count):
            seed = {"seed": (job["seed"] + at) % SEEDS} if "seed" in job else {}
            jobs.append({**job, **prompt, **seed})
    return replace(asked, jobs=tuple(jobs), prompts=len(prompts))
