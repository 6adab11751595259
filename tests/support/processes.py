"""Which tests start a process: read from the names that their code uses, and held while the others run.

Knows nothing of what the packages start.
"""

from __future__ import annotations

import _posixsubprocess
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, wraps
from types import CodeType
from typing import Any

import pytest

STARTS = {
    "subprocess", "create_subprocess_exec", "multiprocessing", "TritonProcess", "Reaper", "Comparison", "conversion",
    "FETCH",
}  # fmt: skip
"""What starts a process: the library's names, and the product's that lie behind a module."""

EVENTS = {"subprocess.Popen", "os.posix_spawn", "os.fork", "os.forkpty", "os.exec", "os.system", "fork_exec"}
"""What the interpreter says before it starts a process; the last is our own, for multiprocessing says nothing."""


class ProcessStartedError(Exception):
    """A test that is not marked `subprocess` was about to start a process."""


def names_in(code: CodeType) -> Iterator[str]:
    """The names that a function's code uses or puts something in the place of, those of functions inside it too."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from names_in(constant)
        elif isinstance(constant, str):
            yield constant


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


_tries: list[str] | None = None
"""What the test that runs has tried to start; None while no test is watched."""


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if _tries is not None and event in EVENTS:
        _tries.append(f"{event}{arguments[:2]}")
        raise ProcessStartedError(_tries[0])


@cache
def _listen() -> None:
    """Once for a whole run: a hook stays for good."""
    importlib.import_module("numpy.testing")  # asks lscpu when it is first imported, which is no test's doing
    sys.addaudithook(_hear)
    fork_exec = _posixsubprocess.fork_exec

    @wraps(fork_exec)
    def audited(*arguments: Any) -> int:
        sys.audit("fork_exec", *arguments[:2])
        return fork_exec(*arguments)

    _posixsubprocess.fork_exec = audited


@contextmanager
def without_processes(test: str) -> Iterator[None]:
    """Fail at the first process that is started inside, also when what started it swallows the error."""
    global _tries
    _listen()
    tries: list[str] = []
    _tries = tries
    try:
        yield
    except BaseException as error:
        if tries:
            raise _complaint(test, tries) from error
        raise
    finally:
        _tries = None
    if tries:
        raise _complaint(test, tries)


def _complaint(test: str, tries: list[str]) -> ProcessStartedError:
    return ProcessStartedError(
        f"{test} starts a process, {tries[0]}: mark it with @pytest.mark.subprocess, "
        "or add the name that starts it to STARTS in tests/support/processes.py"
    )
