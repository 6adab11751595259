"""The three operations by name, each a function that takes a checked request and queues its jobs."""

from __future__ import annotations

from collections.abc import Callable

from ..api.fields import Operation
from . import generate, infill, revise
from .request import Handle, Request
from .services import Services

OPERATIONS: dict[Operation, Callable[[Request, Services], Handle]] = {
    Operation.GENERATE: generate.start,
    Operation.INFILL: infill.start,
    Operation.REVISE: revise.start,
}


def start(request: Request, services: Services) -> Handle:
    """Queue a request.

    Raises:
        RequestError: what it asks for does not fit the checkpoint or the engine.
        OverloadedError: the queue is full.
    """
    return OPERATIONS[request.params.operation](request, services)
