"""Calls and results of earlier turns, as texts that every chat template takes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..shared.errors import refused
from ..shared.kinds import listing, short_text, text
from .wanted import NAME


class History:
    """The calls of the messages read so far."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def calls(self, field: str, value: object) -> str:
        """Return an assistant's calls in the form in which the model is to make them.

        Raises:
            FaceError: an entry is not the call of a function.
        """
        made = [self._call(f"{field}[{at}]", one) for at, one in enumerate(listing(field, value))]
        return text(field, json.dumps(made, ensure_ascii=False))

    def _call(self, field: str, item: object) -> dict[str, Any]:
        if not isinstance(item, Mapping):
            raise refused(field, "must be an object", item, "wrong_type")
        if item.get("type", "function") != "function":
            raise refused(f"{field}.type", "must be function", item["type"], "not_applicable")
        inside = item.get("function")
        if not isinstance(inside, Mapping):
            raise refused(f"{field}.function", "must be an object", inside, "wrong_type")
        name, arguments = inside.get("name"), inside.get("arguments")
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise refused(f"{field}.function.name", "must be 1 to 64 letters, digits, _ and -", name)
        try:
            read = json.loads(arguments) if isinstance(arguments, str) else None
        except (ValueError, RecursionError):
            read = None
        if not isinstance(read, dict):
            raise refused(f"{field}.function.arguments", "must be the text of a JSON object", arguments)
        self._names[short_text(f"{field}.id", item.get("id"))] = name
        return {"name": name, "arguments": read}

    def result(self, field: str, item: Mapping[str, Any], content: str) -> str:
        """Return what a call gave, for the model.

        Raises:
            FaceError: there is no such call before it.
        """
        call = item.get("tool_call_id")
        if not isinstance(call, str) or call not in self._names:
            raise refused(f"{field}.tool_call_id", "must be the id of a call before it", call)
        return f"Result of {self._names[call]}: {content}"
