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
    tools = read_tools(given.get("tools", []), reading.CHAT)
    chosen = given.get("tool_choice")
    if not isinstance(chosen, Mapping):
        return _by_word(chosen, tools, given, form)
    _must_be_function(chosen)
    inside = chosen.get("function")
    name = inside.get("name") if isinstance(inside, Mapping) else None
    return Tools.of(tools, form, "required", parallel=False, name=named("tool_choice.function.name", name, tools))


def of_responses(given: Given, form: Form) -> Tools | None:
    """Return what a request for a response says of tools; the rest is as in `of_chat`."""
    tools = read_tools(given.get("tools", []), reading.RESPONSES)
    chosen = given.get("tool_choice")
    if not isinstance(chosen, Mapping):
        return _by_word(chosen, tools, given, form)
    _must_be_function(chosen)
    name = named("tool_choice.name", chosen.get("name"), tools)
    return Tools.of(tools, form, "required", parallel=False, name=name)


def of_messages(given: Given, form: Form) -> Tools | None:
    """Return what a request of Anthropic's clients says of tools; the rest is as in `of_chat`."""
    tools = read_tools(given.get("tools", []), reading.MESSAGES)
    chosen = given.get("tool_choice", {"type": "auto"})
    for key in chosen:
        if key not in ("type", "name", "disable_parallel_tool_use"):
            raise refused(f"tool_choice.{key}"[:80], "is not a key of a choice", chosen[key], "unknown_field")
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


def _by_word(chosen: object, tools: tuple[Tool, ...], given: Given, form: Form) -> Tools | None:
    if chosen not in (None, "none", "auto", "required"):
        raise refused("tool_choice", "must be none, auto, required or an object that names a function", chosen)
    if chosen == "required":
        _needs_tools(chosen, tools)
        return Tools.of(tools, form, "required", parallel=given.get("parallel_tool_calls", True))
    return Tools.of(
        tools, form, "none" if chosen == "none" else "auto", parallel=given.get("parallel_tool_calls", True)
    )


def _must_be_function(chosen: Mapping[str, object]) -> None:
    if chosen.get("type") != "function":
        raise refused("tool_choice.type", "must be function", chosen.get("type"), "not_applicable")


def _needs_tools(chosen: object, tools: tuple[Tool, ...]) -> None:
    if not tools:
        raise refused("tool_choice", "needs tools", Described(chosen), "not_applicable")
