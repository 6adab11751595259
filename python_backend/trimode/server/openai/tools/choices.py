"""What a request says of the call that its answer is to make, in the words of each endpoint's clients."""

from __future__ import annotations

from collections.abc import Mapping

from ....errors import Described
from ..shared.errors import refused
from ..shared.fields import Given
from ..shared.kinds import boolean
from . import reading
from .form_table import Form
from .reading import named, read_tools
from .wanted import Tool, Tools


def of_chat(given: Given, form: Form) -> Tools | None:
    """Return what a chat says of tools, whose calls have this form; None if nothing may be called.

    Raises:
        FaceError: a tool is no function, there are too many, or a choice that does not go with them.
    """
    return _of_functions(given, form, reading.CHAT)


def of_responses(given: Given, form: Form) -> Tools | None:
    """Return what a request for a response says of tools; the rest is as in `of_chat`."""
    return _of_functions(given, form, reading.RESPONSES)


def of_messages(given: Given, form: Form) -> Tools | None:
    """Return what a request of Anthropic's clients says of tools; the rest is as in `of_chat`."""
    tools = read_tools(given.get("tools", []), reading.MESSAGES)
    chosen = given.get("tool_choice", {"type": "auto"})
    _no_others("tool_choice", chosen, "type", "name", "disable_parallel_tool_use")
    single = boolean("tool_choice.disable_parallel_tool_use", chosen.get("disable_parallel_tool_use", False))
    kind = chosen.get("type")
    if kind == "tool":
        name = named("tool_choice.name", chosen.get("name"), tools)
        return Tools.of(tools, form, "required", parallel=False, name=name)
    if "name" in chosen:
        raise refused("tool_choice.name", "needs the type tool", chosen["name"], "not_applicable")
    if kind == "any":
        _needs_tools("any", tools)
        return Tools.of(tools, form, "required", parallel=not single)
    if kind not in ("auto", "none"):
        raise refused("tool_choice.type", "must be auto, any, tool or none", kind)
    return Tools.of(tools, form, "auto" if kind == "auto" else "none", parallel=not single)


def _of_functions(given: Given, form: Form, shape: reading.Shape) -> Tools | None:
    tools = read_tools(given.get("tools", []), shape)
    chosen, field = given.get("tool_choice"), "tool_choice"
    if not isinstance(chosen, Mapping):
        return _by_word(chosen, tools, given, form)
    if chosen.get("type") != "function":
        raise refused("tool_choice.type", "must be function", chosen.get("type"), "not_applicable")
    _no_others(field, chosen, "type", shape.inside or "name")
    if shape.inside:
        field, chosen = f"{field}.{shape.inside}", chosen.get(shape.inside)
        if isinstance(chosen, Mapping):
            _no_others(field, chosen, "name")
    name = named(f"{field}.name", chosen.get("name") if isinstance(chosen, Mapping) else None, tools)
    return Tools.of(tools, form, "required", parallel=False, name=name)


def _no_others(field: str, chosen: Mapping[str, object], *known: str) -> None:
    for key in chosen:
        if key not in known:
            raise refused(f"{field}.{key}"[:80], "is not a key of a choice", chosen[key], "unknown_field")


def _by_word(chosen: object, tools: tuple[Tool, ...], given: Given, form: Form) -> Tools | None:
    if chosen not in (None, "none", "auto", "required"):
        raise refused("tool_choice", "must be none, auto, required or an object that names a function", chosen)
    if chosen == "required":
        _needs_tools(chosen, tools)
        return Tools.of(tools, form, "required", parallel=given.get("parallel_tool_calls", True))
    return Tools.of(
        tools, form, "none" if chosen == "none" else "auto", parallel=given.get("parallel_tool_calls", True)
    )


def _needs_tools(chosen: object, tools: tuple[Tool, ...]) -> None:
    if not tools:
        raise refused("tool_choice", "needs tools", Described(chosen), "not_applicable")
