"""How the model reads tools, calls and results: as its chat template writes them, or as texts for every template."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from ..pictures import before_text
from .form_table import Form
from .history import PastCall, Turn
from .wanted import Tools

Message = dict[str, Any]


def listed_of(turns: Sequence[Turn], tools: Tools | None, form: Form) -> tuple[dict[str, Any], ...] | None:
    """Return the tools that the chat template lists, none if there are calls alone; None if it has no part in it."""
    if not form.of_template or (tools is None and not any(turn.calls or turn.result_of for turn in turns)):
        return None
    return () if tools is None else tuple(tools.listed())


def messages_of(turns: Sequence[Turn], tools: Tools | None, form: Form) -> list[Message]:
    """Return the messages for the chat template, those of generate where it knows no tools, each {role, content}.

    There the tools stand at the end of the system message.
    """
    if listed_of(turns, tools, form) is not None:
        return [_for_template(turn, form) for turn in turns]
    messages = as_texts(turns)
    if tools is None:
        return messages
    first = messages.pop(0)["content"] if messages and messages[0]["role"] == "system" else ""
    said = f"{first}\n\n{tools.prompt()}" if first else tools.prompt()
    return [{"role": "system", "content": said}, *messages]


def _for_template(turn: Turn, form: Form) -> Message:
    message: Message = {"role": turn.role, "content": turn.content}
    if turn.calls:
        message["tool_calls"] = [
            {"type": "function", "id": _id(one, form), "function": {"name": one.name, "arguments": one.arguments}}
            for one in turn.calls
        ]
    if turn.result_of is not None:
        content = f"Error: {turn.content}" if turn.failed else turn.content
        name = turn.result_of.name
        message |= {"content": content, "tool_call_id": _id(turn.result_of, form), "name": name}
    return message


def _id(call: PastCall, form: Form) -> str:
    return hashlib.sha256(call.id.encode()).hexdigest()[:9] if form.short_ids else call.id


def as_texts(turns: Sequence[Turn]) -> list[Message]:
    """Return the messages without tools: calls have the form in which the model makes them, results are the user's."""
    messages: list[Message] = []
    after_result = False
    for turn in turns:
        role, content = turn.role, turn.content
        if turn.result_of is not None:
            role, content = "user", f"{'Error' if turn.failed else 'Result'} of {turn.result_of.name}: {content}"
        if turn.calls:
            calls = written(turn.calls)
            content = f"{content}\n{calls}" if content else calls
        if after_result and role == "user":  # templates want turns that alternate
            messages[-1]["content"] = before_text(f"{messages[-1]['content']}\n", content)
        else:
            messages.append({"role": role, "content": content})
        after_result = turn.result_of is not None
    return messages


def written(calls: Sequence[PastCall]) -> str:
    """Return calls in the form in which the model is to make them."""
    return json.dumps([{"name": one.name, "arguments": one.arguments} for one in calls], ensure_ascii=False)
