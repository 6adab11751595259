"""Which tests start a process, read from the names that their code uses. Knows nothing of what the package starts."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any

import pytest

STARTS = {"subprocess", "create_subprocess_exec", "multiprocessing", "TritonProcess", "Comparison", "conversion"}
"""What starts a process: the library's names, and the product's that lie behind a module."""


def names_in(code: CodeType) -> Iterator[str]:
    """The names that a function's code uses, those of the functions inside it too."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from names_in(constant)


def names_reached(function: Callable[..., Any], seen: set[str] | None = None) -> set[str]:
    """The names that `function` uses, directly or through functions and classes of its own module."""
    seen = set() if seen is None else seen
    function = inspect.unwrap(function)
    for name in names_in(function.__code__):
        if name in seen:
            continue
        seen.add(name)
        for other in _functions(getattr(function, "__globals__", {}).get(name)):
            if other.__module__ == function.__module__:
                names_reached(other, seen)
    return seen


def _functions(value: object) -> list[Any]:
    if inspect.isclass(value):
        return [member for member in vars(value).values() if inspect.isfunction(member)]
    return [value] if inspect.isfunction(value) else []


def starts_process(item: pytest.Function) -> bool:
    """Whether the test or a fixture of it names what starts a process."""
    named = item._fixtureinfo.name2fixturedefs
    fixtures = [one.func for definitions in named.values() for one in definitions]
    reached = [names_reached(function) for function in (item.function, *fixtures) if inspect.isfunction(function)]
    return any(STARTS & names for names in reached)
