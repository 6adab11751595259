"""Messages as OpenAI's and Anthropic's clients send them, read into turns; and the prompt that turns make."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ....text.tokenizer import END_THINK
from ..pictures import KINDS, UserContent, joined, read_picture
from ..tools.history import History, Role, Turn
from ..tools.prompt import Message
from ..tools.reading import CHAT
from .errors import refused
from .kinds import listing, text

ROLES: dict[str, Role] = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
TEXT_PARTS = ("text", "input_text", "output_text")
WITHOUT_EFFECT = frozenset({"name", "id", "type", "status", "phase", "refusal", "annotations", "reasoning_content",
                            "reasoning", "cache_control", "prefix"})  # fmt: skip
"""Keys of a message that say nothing to the model: a thought of an earlier turn is not shown to it again."""
EMPTY = ("tool_calls", "function_call", "audio", "tool_call_id")
"""Keys of a message that may be there if they hold nothing."""


def read_messages(name: str, value: object, history: History) -> list[Turn]:
    """Return the messages in `value`, a list as chats have it.

    Args:
        history: takes in the calls, of which later messages have the results.

    Raises:
        FaceError: an entry is no message, or holds more than text and calls.
    """
    found = listing(name, value)
    if not found:
        raise refused(name, "must not be empty", value)
    return [read_message(f"{name}[{at}]", item, history) for at, item in enumerate(found)]


def read_message(name: str, item: object, history: History) -> Turn:
    """Return one message.

    Raises:
        FaceError: it is none, or holds more than text and calls.
    """
    if not isinstance(item, dict):
        raise refused(name, "must be an object", item, "wrong_type")
    role = item.get("role")
    if not isinstance(role, str) or (role not in ROLES and role != "tool"):
        raise refused(f"{name}.role", "must be system, developer, user, tool or assistant", role)
    of_tools = {"tool": "tool_call_id", "assistant": "tool_calls"}.get(role)
    for key, value in item.items():
        if key in ("role", "content", of_tools) or key in WITHOUT_EFFECT or value is None:
            continue
        if key not in EMPTY:
            raise refused(f"{name}.{key}"[:80], "is not a part of a message", value, "unknown_field")
        if value:
            raise refused(f"{name}.{key}", "must be null or empty here", value, "not_applicable")
    content = item.get("content")
    if role == "user":
        return Turn("user", read_parts(f"{name}.content", content))
    said = "" if content is None and role == "assistant" else read_content(f"{name}.content", content)
    if role == "tool":
        return history.result(f"{name}.tool_call_id", item.get("tool_call_id"), said)
    field, made = f"{name}.tool_calls", item.get("tool_calls") if role == "assistant" else None
    calls = [history.call(f"{field}[{at}]", one, CHAT) for at, one in enumerate(listing(field, made or []))]
    return Turn(ROLES[role], said, tuple(calls))


def read_parts(name: str, value: object) -> UserContent:
    """Return what a user says: a text, or texts and pictures.

    Raises:
        FaceError: it is neither.
    """
    if not isinstance(value, list):
        return text(name, value)
    found: list[str | dict[str, Any]] = []
    for at, part in enumerate(value):
        is_picture = isinstance(part, Mapping) and part.get("type") in KINDS
        found.append(read_picture(f"{name}[{at}]", part) if is_picture else _part(f"{name}[{at}]", part))
    return joined(found)


def read_content(name: str, value: object) -> str:
    """Return the text of a message: a string, or a list of parts that are all texts.

    Raises:
        FaceError: it is neither.
    """
    if not isinstance(value, list):
        return text(name, value)
    return "".join(_part(f"{name}[{at}]", part) for at, part in enumerate(value))


def _part(name: str, part: object) -> str:
    if isinstance(part, str):
        return text(name, part)
    if not isinstance(part, Mapping):
        raise refused(name, "must be an object with a type", part, "wrong_type")
    kind: Any = part.get("type")
    if kind in ("thinking", "redacted_thinking", "reasoning"):
        return ""  # of an earlier turn
    if kind not in TEXT_PARTS:
        raise refused(f"{name}.type", "must be text (pictures are the user's; sounds and files are not served)", kind)
    return text(f"{name}.text", part.get("text"))


def prompt_for(messages: list[Message], *, thinking: bool, goes_on: bool) -> dict[str, Any]:
    """Return the fields of generate that have the prompt; `goes_on` says that the last message is to be continued."""
    options = {"enable_thinking": thinking, "continue_final_message": goes_on}
    return {"messages": messages, **{name: True for name, wanted in options.items() if wanted}}


def thought_is_open(prompt: Mapping[str, Any]) -> bool:
    """Return whether the answer to a prompt begins with a thought: not if the message to continue has ended it."""
    ended = "continue_final_message" in prompt and END_THINK in prompt["messages"][-1]["content"]
    return "enable_thinking" in prompt and not ended
