"""What a request for a response asks for. Knows its fields and the items of its input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ....errors import Described
from ..chat_completions import NOT_THINKING
from ..shared.asked import Asked, ask
from ..shared.dialogue import read_content, read_message
from ..shared.errors import refused
from ..shared.facts import Facts
from ..shared.fields import Given, sort_fields
from ..shared.kinds import listing, one_of, text
from ..tools.choices import of_responses
from ..tools.form import with_tools
from ..tools.history import History, Turn
from ..tools.prompt import listed_of, messages_of
from ..tools.reading import RESPONSES

EFFORT = one_of("none", "minimal", "low", "medium", "high", "xhigh", "max")
VERBOSITY = one_of("medium")  # the only one that is served
ECHOED = ("instructions", "max_output_tokens", "metadata", "temperature", "top_p", "user")
"""Fields that come back in the answer."""
MESSAGE = (None, "message")  # types of an item that is said; a message of the input need not have one


@dataclass(frozen=True)
class Wanted:
    """What a request asks for, and what its answer repeats of it."""

    asked: Asked
    echo: dict[str, Any]


def translate(body: Mapping[str, Any], facts: Facts) -> Wanted:
    """Return what a request asks for.

    Raises:
        FaceError: it is refused.
    """
    given = sort_fields("responses", body)
    _check_text(given.get("text", {}))
    turns = read_input(given.get("input"))
    if "instructions" in given.served:
        turns = [Turn("system", given.get("instructions")), *turns]
    tools = of_responses(given, facts.calls)
    thinking, effort = _thinking(given)
    asked = with_tools(ask(given, facts, thinking=thinking), tools, facts)
    (job,) = asked.jobs
    job = {**job, "messages": messages_of(turns, tools, facts.calls), "enable_thinking": thinking}
    asked = replace(
        asked, jobs=(job,), names={**asked.names, "messages": "input"}, listed=listed_of(turns, tools, facts.calls)
    )
    echo = {name: given.get(name) for name in ECHOED}
    echo |= {"metadata": echo["metadata"] or {}, "reasoning": {"effort": effort, "summary": None}}
    return Wanted(asked, {**echo, **_repeated(given)})


def _repeated(given: Given) -> dict[str, Any]:
    """Return what an answer repeats of the form and the tools, with the keys that OpenAI's answers have."""
    tools = given.get("tools", [])
    return {
        "text": {"format": {"type": "text"}, **given.get("text", {})},
        "tools": [{"description": None, "parameters": None, "strict": None, **one} for one in tools],
        "tool_choice": given.get("tool_choice", "auto" if tools else "none"),
        "parallel_tool_calls": given.get("parallel_tool_calls", bool(tools)),
    }


def _check_text(said: Mapping[str, Any]) -> None:
    for name, value in said.items():
        if name not in ("format", "verbosity"):
            raise refused(f"text.{name}"[:80], "is not an option here", value, "unknown_field")
    VERBOSITY("text.verbosity", said.get("verbosity", "medium"))


def read_input(value: object) -> list[Turn]:
    """Return the turns of an input: a text of the user, or a list of messages, calls and results.

    Calls belong to the turn of the assistant before them.

    Raises:
        FaceError: there is none, or an item is something else.
    """
    if value is None:
        raise refused("input", "must be given", Described("nothing"), "bad_prompt")
    if isinstance(value, str):
        return [Turn("user", text("input", value))]
    turns: list[Turn] = []
    history = History()
    for at, item in enumerate(listing("input", value)):
        field = f"input[{at}]"
        kind = item.get("type") if isinstance(item, dict) else None
        if kind == "reasoning":
            continue  # a thought of an earlier turn is not shown to the model again
        if kind == "function_call":
            if not turns or turns[-1].role != "assistant":
                turns.append(Turn("assistant", ""))
            turns[-1] = replace(turns[-1], calls=(*turns[-1].calls, history.call(field, item, RESPONSES)))
        elif kind == "function_call_output":
            said = read_content(f"{field}.output", item.get("output"))
            turns.append(history.result(f"{field}.call_id", item.get("call_id"), said))
        elif kind in MESSAGE:
            turns.append(read_message(field, item, history))
        else:
            limit = "must be message, function_call, function_call_output or reasoning"
            raise refused(f"{field}.type", limit, kind, "not_applicable")
    if not turns:
        raise refused("input", "must not be empty", value)
    return turns


def _thinking(given: Given) -> tuple[bool, str | None]:
    """Return whether to think, and the effort as it was said."""
    said = given.get("reasoning", {})
    for name, value in said.items():
        if name not in ("effort", "summary", "generate_summary"):
            raise refused(f"reasoning.{name}"[:80], "is not an option here", value, "unknown_field")
    if "effort" not in said:
        return bool(given.knobs.get("enable_thinking")), None
    effort = EFFORT("reasoning.effort", said["effort"])
    return effort not in NOT_THINKING, effort
