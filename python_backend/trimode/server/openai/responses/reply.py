"""The answer to a request for a response, while it is made and once it is complete. Knows its items."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..shared.choice import Choice
from ..shared.exchange import new_id
from ..shared.usage import usage
from ..tools.calls import Call
from .request import Wanted

STATUSES = {"stop": "completed", "tool_calls": "completed", "length": "incomplete"}
"""Of an answer that has ended, by its finish reason."""


def thought_item(identity: str, thought: str, status: str) -> dict[str, Any]:
    """Return the thought as an item of the output."""
    content = [{"type": "reasoning_text", "text": thought}] if thought else []
    return {"id": identity, "type": "reasoning", "summary": [], "content": content, "status": status}


def text_item(identity: str, choice: Choice, status: str) -> dict[str, Any]:
    """Return the text as an item of the output."""
    content = [] if status == "in_progress" else [text_part(choice.text)]
    return {"id": identity, "type": "message", "status": status, "role": "assistant", "content": content}


def text_part(said: str) -> dict[str, Any]:
    """Return a text as a part of an item."""
    return {"type": "output_text", "text": said, "annotations": [], "logprobs": []}


def call_item(call: Call, status: str) -> dict[str, Any]:
    """Return a call as an item of the output; while it is made, it has no arguments."""
    arguments = "" if status == "in_progress" else call.arguments
    return {
        "id": call_item_id(call),
        "type": "function_call",
        "call_id": call.id,
        "name": call.name,
        "arguments": arguments,
        "status": status,
    }


def call_item_id(call: Call) -> str:
    """Return the id of the item; the call itself has another one, by which its result names it."""
    return f"fc_{call.id.removeprefix('call_')}"


@dataclass
class Reply:
    """The answer while it is made.

    Attributes:
        thought_id, text_id: of the items of the output.
    """

    created: int
    wanted: Wanted
    choice: Choice
    id: str = field(default_factory=lambda: new_id("resp_"))
    thought_id: str = field(default_factory=lambda: new_id("rs_"))
    text_id: str = field(default_factory=lambda: new_id("msg_"))

    def status(self) -> str:
        """Return how far it is."""
        return STATUSES.get(self.choice.finish_reason or "", "in_progress")

    def items(self) -> list[dict[str, Any]]:
        """Return the output once it is complete."""
        made = [thought_item(self.thought_id, self.choice.thought, "completed")] if self.choice.thought else []
        if self.choice.has_words:
            made.append(text_item(self.text_id, self.choice, "completed" if self.choice.calls else self.status()))
        return made + [call_item(call, self.call_status(call)) for call in self.choice.calls]

    def call_status(self, call: Call) -> str:
        """Return how far a call is; one before the last has ended."""
        return self.status() if call is self.choice.calls[-1] else "completed"

    def body(self) -> dict[str, Any]:
        """Return the response as it is now."""
        status, done = self.status(), bool(self.choice.last)
        return {
            "id": self.id,
            "object": "response",
            "created_at": self.created,
            "status": status,
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
            "model": self.wanted.asked.model,
            "output": self.items() if done else [],
            "previous_response_id": None,
            "store": False,
            "truncation": "disabled",
            "usage": self.usage() if done else None,
            **self.wanted.echo,
            **(self.choice.extras() if done else {}),
        }

    def usage(self) -> dict[str, Any]:
        """Return what it cost."""
        spent = usage([self.choice.last], 1, self.choice.reasoning_tokens)
        return {
            "input_tokens": spent["prompt_tokens"],
            "input_tokens_details": {**spent["prompt_tokens_details"], "cache_write_tokens": 0},
            "output_tokens": spent["completion_tokens"],
            "output_tokens_details": {"reasoning_tokens": self.choice.reasoning_tokens},
            "total_tokens": spent["total_tokens"],
        }
