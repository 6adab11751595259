"""The prompts of a request's jobs: their tokens, as the model will read them, and the room that they leave.

The rules are text/prompt.py's; here is when they are applied, and what an error says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ....api.defaults import default_mode
from ....api.fields import Mode
from ....api.params import PromptParams
from ....errors import Described, TrimodeError
from ....text.prompt import block_beside, read_text, room_after
from ....text.tokenizer import Tokenizer
from ..pictures import extra_tokens, for_template, has_pictures, urls_in
from .asked import Asked
from .errors import NAMES, face_error, refused
from .facts import Facts
from .form import TYPE

PROMPT = ("messages", "text_input", "enable_thinking", "continue_final_message", "allow_special_tokens")
"""Fields of generate that make the tokens of a prompt; they say nothing once it is given as ids."""
LONG = 16 * 1024
"""Characters of a text. Tokenizing a longer one would hold up every stream by more than a few milliseconds."""


def tokenizer_of(facts: Facts, param: str) -> Tokenizer:
    """Return the tokenizer, which `param` needs.

    Raises:
        FaceError: the checkpoint has none.
    """
    if facts.tokenizer is None:
        raise refused(param, "needs a checkpoint with a tokenizer", Described("a text"), "not_applicable")
    return facts.tokenizer


def ids_of(job: Mapping[str, Any], facts: Facts, listed: Sequence[Mapping[str, Any]] | None = None) -> list[int]:
    """Return the tokens of a job's prompt: of messages, a text or ids; of a picture in a message the first alone.

    Args:
        listed: the tools that the chat template lists; None where the messages have neither tools nor calls.

    Raises:
        FaceError: the template refuses the messages, it cannot fit, or there is no tokenizer.
    """
    if "input_ids" in job:
        return list(job["input_ids"])
    if listed is not None:
        return _with_tools(job, tokenizer_of(facts, "tools"), listed)
    given = {name: job[name] for name in PROMPT if name in job}
    try:
        if "messages" in given:
            given["messages"] = tuple(map(for_template, given["messages"]))
        prompt = PromptParams(**given)
        return read_text(prompt, tokenizer_of(facts, NAMES.get(prompt.field, prompt.field)), facts.capacity)[1]
    except TrimodeError as exc:
        raise face_error(exc) from exc


def _with_tools(job: Mapping[str, Any], tokenizer: Tokenizer, listed: Sequence[Mapping[str, Any]]) -> list[int]:
    """Return the tokens of messages with tools and calls, which generate does not know."""
    messages, begun = [for_template(one) for one in job["messages"]], ""
    if job.get("continue_final_message"):
        messages, begun = messages[:-1], str(messages[-1]["content"])
    thinking, special = bool(job.get("enable_thinking")), bool(job.get("allow_special_tokens"))
    try:
        text = tokenizer.render_chat(
            messages, enable_thinking=thinking, allow_special_tokens=special, tools=list(listed) or None
        )
        text += tokenizer.mark(begun, allow_special_tokens=special)
        marked = tokenizer.marks(allow_special_tokens=special)
        return tokenizer.encode(text, marked=marked, field="messages")
    except TrimodeError as exc:
        raise face_error(exc) from exc


def prompt_tokens(asked: Asked, facts: Facts) -> int:
    """Return how many tokens all prompts of a request have together; of a gap, the text before it counts."""
    each = len(asked.jobs) // asked.prompts
    return sum(len(ids_of(job, facts, asked.listed)) + extra_tokens(job)[0] for job in asked.jobs[::each])


def is_quick(asked: Asked) -> bool:
    """Return whether with_room takes no time that others would notice: no template is rendered, no long text read."""
    if asked.truncate is not None or asked.return_ids or asked.listed is not None:
        return False
    slow = any("messages" in job or len(job.get("text_input", "")) > LONG or has_pictures(job) for job in asked.jobs)
    return not (slow and any(map(_open, asked.jobs)))


def with_room(asked: Asked, facts: Facts) -> Asked:
    """Return `asked` with prompts cut if it asks so, and `max_tokens` as what the context leaves if it does not say.

    A chat template is rendered in a process of its own, for which this waits: call it in a thread unless it is_quick.

    Raises:
        FaceError: a prompt leaves no room; see also ids_of.
    """
    asked = _with_ids(asked, facts)
    if not any(_open(job) for job in asked.jobs):
        return asked
    each = len(asked.jobs) // asked.prompts
    jobs: list[dict[str, Any]] = []
    for at in range(0, len(asked.jobs), each):
        same = asked.jobs[at : at + each]
        room = _room(same[0], facts, asked.names) if _open(same[0]) else {}
        jobs += [{**job, **room} for job in same]
    return replace(asked, jobs=tuple(jobs))


def _with_ids(asked: Asked, facts: Facts) -> Asked:
    """Return `asked` with the tokens of its prompts, where they are to be cut or are part of the answer."""
    as_ids = asked.truncate is not None or asked.listed is not None
    if any("suffix" in job for job in asked.jobs) or not (asked.return_ids or as_ids):
        return asked
    if asked.truncate is not None and any(map(has_pictures, asked.jobs)):
        limit = "does not go together with pictures, whose places in the prompt cannot be cut"
        raise refused("truncate_prompt_tokens", limit, asked.truncate, "not_applicable")
    each = len(asked.jobs) // asked.prompts
    found = [ids_of(job, facts, asked.listed) for job in asked.jobs[::each]]
    if not as_ids:
        return replace(asked, prompt_ids=tuple(map(tuple, found)))
    jobs = [_of_ids(job, found[at // each], asked, facts) for at, job in enumerate(asked.jobs)]
    if asked.listed is not None:
        asked = replace(asked, names={**asked.names, "input_ids": asked.names.get("messages", "messages")})
    cut = [tuple(job["input_ids"]) for job in jobs[::each]]
    echo = asked.echo and tuple(tokenizer_of(facts, "echo").decode(job["input_ids"], special=True) for job in jobs)
    return replace(asked, jobs=tuple(jobs), prompt_ids=tuple(cut) if asked.return_ids else (), echo=echo)


def _of_ids(job: Mapping[str, Any], ids: list[int], asked: Asked, facts: Facts) -> dict[str, Any]:
    """Return a job with the ids of its prompt in place of what they were made of."""
    if asked.truncate is not None:
        most = asked.truncate if asked.truncate >= 0 else facts.capacity - _block(job, facts) - job.get("max_tokens", 1)
        if most < 1:
            limit = "must leave at least one token of the prompt"
            raise refused("truncate_prompt_tokens", limit, asked.truncate)
        ids = ids[-most:]
    begun: dict[str, Any] = {}
    if asked.thinking and TYPE in job:
        begun["max_thinking_tokens"] = facts.capacity  # the form waits for it
    if urls := urls_in(job.get("messages", ())):
        begun["image_url_input"] = urls
    return {**begun, **{name: value for name, value in job.items() if name not in PROMPT}, "input_ids": ids}


def _open(job: Mapping[str, Any]) -> bool:
    """Return whether the length of an answer is open; gaps have a length of their own."""
    return "max_tokens" not in job and "suffix" not in job


def _room(job: Mapping[str, Any], facts: Facts, names: Mapping[str, str]) -> dict[str, int]:
    """Return `max_tokens` as what the context leaves; nothing where pictures to be fetched may leave none."""
    name = next(name for name in ("messages", "input_ids", "text_input") if name in job)
    count, (extra, certain) = len(ids_of(job, facts)), extra_tokens(job)
    if not certain and count + extra + _block(job, facts) >= facts.capacity:
        return {}
    try:
        return {"max_tokens": room_after(count + extra, block=_block(job, facts), capacity=facts.capacity, field=name)}
    except TrimodeError as exc:
        raise face_error(exc, names) from exc


def _block(job: Mapping[str, Any], facts: Facts) -> int:
    """Return the tokens of a block for which there must be room."""
    mode = Mode(job["mode"]) if "mode" in job else default_mode(job, facts.mode)
    return block_beside(mode, job.get("block_length", facts.block_length))
