"""A request that was checked, who sent it, and the handle that its caller gets. Knows none of the three operations."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypedDict

from ..api.params import GenerationParams
from ..errors import DeadlineError
from ..scheduling.job import Claim
from ..scheduling.outbox import Sink
from ..tracing.request_trace import RequestTrace
from ..vision.loader import Loader
from ..vision.until import Until
from .pictures import NO_PICTURES, RequestPictures, check_pictures


@dataclass(frozen=True)
class Sender:
    """Who sent a request, and what it is known by.

    Attributes:
        caller: by the address that the front saw; "" if it did not come by the front.
        name: what lines of the log name it by.
        trace: notes its passes; None where nobody asked for spans.
    """

    caller: str = ""
    name: str = ""
    trace: RequestTrace | None = None


NOBODY = Sender()


class Arrival(TypedDict, total=False):
    """What is known of a request beside its fields.

    Attributes:
        timeout_ms: a limit that came from outside the fields; the tighter one counts.
        sender: who sent it; slots go to callers in turn (see scheduling/turns.py).
        arrived: when it came, in seconds of time.monotonic(); None for now.
        reference: follow the released loops to the letter (see GenerationParams).
    """

    timeout_ms: int | None
    sender: Sender
    arrived: float | None
    reference: bool


@dataclass(frozen=True)
class Request:
    """One request that was checked.

    Attributes:
        sink: takes its chunks, in order, on the sender's thread.
        seconds: the time it may take, queueing included; None for any.
        sender: who sent it.
        arrived: when it came, in seconds of time.monotonic(): it may have waited before it was checked.
        length_asked: whether it gave max_tokens.
        pictures: those in its prompt, none until they are loaded.
    """

    params: GenerationParams
    sink: Sink
    seconds: float | None
    sender: Sender = NOBODY
    arrived: float = field(default_factory=time.monotonic)
    length_asked: bool = False
    pictures: RequestPictures = NO_PICTURES

    @property
    def deadline(self) -> float | None:
        """When its time ends, in seconds of time.monotonic(); None for any time."""
        return None if self.seconds is None else self.arrived + self.seconds

    def check_time(self) -> None:
        """Refuse a request whose time is over before it began.

        Raises:
            DeadlineError: it is.
        """
        if self.deadline is not None and time.monotonic() >= self.deadline:
            raise DeadlineError(f"the request did not begin within its timeout of {self.seconds:.3f} s")

    @property
    def claim(self) -> Claim:
        """What its place in the queue depends on."""
        sender = self.sender
        return Claim(sender.caller, self.params.user, self.params.priority, sender.name, sender.trace)


@dataclass(frozen=True)
class Handle:
    """A request on its way: its effective values and the means to cancel it."""

    params: GenerationParams
    _cancel: Callable[[], None]

    def cancel(self) -> None:
        """End the request; its sink gets a last chunk with a CancelledError unless it was done already."""
        self._cancel()


def checked(
    params: GenerationParams, sink: Sink, arrival: Arrival, loader: Loader | None, *, length_asked: bool
) -> Request:
    """Return a request whose fields were checked, its pictures not loaded yet.

    Raises:
        RequestError: a picture may not be fetched, or the ids of the prompt do not have a place for each.
        DeadlineError: its time is over.
    """
    pictures = NO_PICTURES
    if loader is not None:
        check_pictures(params.prompt, loader)
        pictures = RequestPictures.of(params.prompt, loader.facts)
    limits = [limit for limit in (arrival.get("timeout_ms"), params.timeout_ms) if limit]
    seconds, came = min(limits) / 1000 if limits else None, arrival.get("arrived")
    arrived = time.monotonic() if came is None else came
    request = Request(params, sink, seconds, arrival.get("sender", NOBODY), arrived, length_asked, pictures)
    if came is not None:
        request.check_time()
    return request


def with_pictures(request: Request, loader: Loader, until: Until) -> Request:
    """Return a request with its pictures loaded, which may take seconds, and without their files.

    Raises:
        RequestError: a picture cannot be had or read.
        EngineError: one could not be encoded.
        CancelledError, DeadlineError: see Until.check.
    """
    params = request.params
    loaded = loader.load(params.prompt.images, params.prompt.max_image_size, until)
    prompt = params.prompt.without_files()
    pictures = RequestPictures.of(prompt, loader.facts, loaded)
    return replace(request, params=replace(params, prompt=prompt), pictures=pictures)
