"""How the model reads tools, calls and results: as texts of roles that every chat template takes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from .history import PastCall, Turn
from .wanted import Tools

Message = dict[str, Any]


def messages_of(turns: Sequence[Turn], tools: Tools | None) -> list[Message]:
    """Return the messages of generate, each {role, content}: the tools stand at the end of the system message."""
    messages = as_texts(turns)
    if tools is None:
        return messages
    first = messages.pop(0)["content"] if messages and messages[0]["role"] == "system" else ""
    said = f"{first}\n\n{tools.prompt()}" if first else tools.prompt()
    return [{"role": "system", "content": said}, *messages]


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
            messages[-1]["content"] += f"\n{content}"
        else:
            messages.append({"role": role, "content": content})
        after_result = turn.result_of is not None
    return messages


def written(calls: Sequence[PastCall]) -> str:
    """Return calls in the form in which the model is to make them."""
    return json.dumps([{"name": one.name, "arguments": one.arguments} for one in calls], ensure_ascii=False)
