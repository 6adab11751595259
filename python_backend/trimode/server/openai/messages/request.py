"""What a request of Anthropic's clients asks for. Knows its fields and the blocks of its messages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ....errors import Described
from ..pictures import extra_tokens
from ..shared.asked import Asked, ask
from ..shared.dialogue import prompt_for, read_content, read_message, thought_is_open
from ..shared.errors import refused
from ..shared.facts import Facts
from ..shared.fields import Given, sort_fields
from ..shared.kinds import boolean, integer, listing, one_of, text
from ..shared.prompt import ids_of
from ..tools.choices import of_messages
from ..tools.form import with_tools
from ..tools.history import History, Turn
from ..tools.prompt import listed_of, messages_of
from ..tools.reading import MESSAGES

BUDGET = integer(0, 2**31 - 1)
EFFORT = one_of("low", "medium", "high", "xhigh", "max")
OF_TOOLS = {"assistant": "tool_use", "user": "tool_result"}
"""The blocks of tools by the role that has them."""
NO_TEXT = {"type": "text", "text": ""}


def translate(body: Mapping[str, Any], facts: Facts) -> Asked:
    """Return what a request asks for.

    Raises:
        FaceError: it is refused.
    """
    given = sort_fields("messages", body)
    for name in ("messages", "max_tokens"):
        if name not in given.served:
            raise refused(name, "must be given", Described("nothing"), "bad_prompt")
    turns = read_turns("messages", given.get("messages"))
    if "system" in given.served:
        turns = [Turn("system", read_content("system", given.get("system"))), *turns]
    tools = of_messages(given, facts.calls)
    thinking, budget = _thinking(given)
    _check_output(given.get("output_config", {}))
    given.served["stop"] = given.get("stop_sequences", [])
    if user := given.get("metadata", {}).get("user_id"):
        given.served["user"] = text("metadata.user_id", user)
    goes_on = turns[-1].role == "assistant" and not turns[-1].calls
    if goes_on and tools is not None and tools.choice == "required":
        limit = "must not end with the assistant where tool_choice is any or tool"
        raise refused("messages", limit, Described("such messages"), "not_applicable")
    prompt = prompt_for(messages_of(turns, tools, facts.calls), thinking=thinking, goes_on=goes_on)
    asked = with_tools(ask(given, facts, thinking=thought_is_open(prompt)), tools, facts)
    job = {name: value for name, value in asked.jobs[0].items() if name != "enable_thinking"}
    if budget is not None:
        job["max_thinking_tokens"] = budget
    names = {**asked.names, "stop_words": "stop_sequences"}
    return replace(asked, jobs=({**job, **prompt},), names=names, listed=listed_of(turns, tools, facts.calls))


def count(body: Mapping[str, Any], facts: Facts) -> dict[str, int]:
    """Return how many tokens the prompt of a request has; its `max_tokens` may be left out.

    Raises:
        FaceError: it is refused.
    """
    asked = translate({**body, "max_tokens": 1}, facts)
    job = asked.jobs[0]
    return {"input_tokens": len(ids_of(job, facts, asked.listed)) + extra_tokens(job)[0]}


def read_turns(name: str, value: object) -> list[Turn]:
    """Return the turns of messages, in which calls and results are blocks of the content.

    Raises:
        FaceError: an entry is no message, or holds more than text, calls and results.
    """
    found = listing(name, value)
    if not found:
        raise refused(name, "must not be empty", value)
    history, turns = History(), list[Turn]()
    for at, item in enumerate(found):
        turns += _turns(f"{name}[{at}]", item, history)
    return turns


def _turns(field: str, item: object, history: History) -> list[Turn]:
    """Return the turns of one message: results stand before what the user says."""
    if not isinstance(item, dict) or not isinstance(item.get("content"), list):
        return [read_message(field, item, history)]
    kind = OF_TOOLS.get(str(item.get("role")), "")
    blocks = item["content"]
    of_tools = {at: one for at, one in enumerate(blocks) if isinstance(one, dict) and one.get("type") == kind}
    rest = [NO_TEXT if at in of_tools else one for at, one in enumerate(blocks)]
    turn = read_message(field, {**item, "content": rest}, history)
    if kind == "tool_use":
        calls = (history.call(f"{field}.content[{at}]", one, MESSAGES) for at, one in of_tools.items())
        return [replace(turn, calls=tuple(calls))]
    results = [_result(f"{field}.content[{at}]", one, history) for at, one in of_tools.items()]
    return results if results and not turn.content else [*results, turn]


def _result(field: str, block: Mapping[str, Any], history: History) -> Turn:
    content = block.get("content")
    said = "" if content is None else read_content(f"{field}.content", content)
    failed = boolean(f"{field}.is_error", block.get("is_error") or False)
    return history.result(f"{field}.tool_use_id", block.get("tool_use_id"), said, failed=failed)


def _check_output(said: Mapping[str, Any]) -> None:
    for name, value in said.items():
        if name == "effort":
            EFFORT("output_config.effort", value)
        elif name != "format":
            raise refused(f"output_config.{name}"[:80], "is not an option here", value, "unknown_field")


def _thinking(given: Given) -> tuple[bool, int | None]:
    """Return whether to think, and in how many tokens."""
    said = given.get("thinking")
    if said is None:
        return bool(given.knobs.get("enable_thinking")), None
    for name in said:
        if name not in ("type", "budget_tokens", "display"):
            raise refused(f"thinking.{name}"[:80], "is not an option here", said[name], "unknown_field")
    if said.get("type") not in ("enabled", "disabled", "adaptive"):
        raise refused("thinking.type", "must be enabled, disabled or adaptive", said.get("type"))
    budget = said.get("budget_tokens")
    return said["type"] != "disabled", None if budget is None else BUDGET("thinking.budget_tokens", budget)
