"""A request, its services, and the handle that its caller gets. Knows nothing of the three operations."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypedDict

from ..api.answer import Chunk
from ..api.params import GenerationParams
from ..errors import DeadlineError, Described, RequestError
from ..grammar.compiler import Compiler
from ..scheduling.job import Claim, Job
from ..scheduling.outbox import Outbox, Sink
from ..scheduling.queue import JobQueue
from ..text.tokenizer import Tokenizer
from ..tracing.request_trace import RequestTrace
from ..vision.encoder import Encoder
from ..vision.loader import Loader
from ..vision.until import Until
from .pictures import NO_PICTURES, RequestPictures, check_pictures


@dataclass(frozen=True)
class Services:
    """What a request may use.

    Attributes:
        capacity: most tokens that a sequence may hold.
        banned: ids that must not stand in a text that is filled or revised.
        adapter: whether the checkpoint has a draft adapter.
        grammars: compiles what answers must match; None without a tokenizer.
        encoder: encodes pictures, off the scheduler's thread; None where the checkpoint reads text alone.
        loader: gets and prepares them; None with no encoder.
        stores_passes: whether the cache must hold every token of a pass, also those that do not stay.
    """

    queue: JobQueue
    outbox: Outbox
    tokenizer: Tokenizer | None
    mask_token_id: int
    capacity: int
    banned: tuple[int, ...]
    adapter: bool
    grammars: Compiler | None = None
    stores_passes: bool = False
    encoder: Encoder | None = None
    loader: Loader | None = None

    def capacity_for(self, params: GenerationParams) -> int:
        """Return the most tokens that the sequence of a request may hold beside one block of it.

        A quadratic pass has L (L + 1) tokens, of which L - 1 may stand where the answer's last tokens will.
        """
        if not self.stores_passes or params.block.speculation == "linear":
            return self.capacity
        length = params.block.block_length
        return self.capacity - length * (length - 2)

    def tokenizer_for(self, field: str, given: object = Described("a text"), hint: str = "") -> Tokenizer:
        """Return the tokenizer, which `field` needs; raise a RequestError if there is none."""
        if self.tokenizer is None:
            limit = f"needs a checkpoint with a tokenizer{hint}"
            raise RequestError(field, limit, given, error_type="not_applicable")
        return self.tokenizer

    def submit(self, job: Job, request: Request) -> Handle:
        """Queue a request's only job, with the time that the request may take."""
        job.claim, job.deadline = request.claim, request.deadline
        job.submitted = job.timing.submitted = request.arrived
        job.sequence.counters.image_tokens = request.pictures.tokens
        self.queue.submit(job)
        return Handle(job.sequence.params, lambda: self.queue.cancel(job))

    def post(self, sink: Sink) -> Callable[[Chunk], None]:
        """Return a function that hands a chunk to `sink` on the sender's thread; it does not block."""
        return lambda chunk: self.outbox.post(sink, chunk)


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
