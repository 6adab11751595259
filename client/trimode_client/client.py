"""Client: the blocking SDK. Checks a request, sends it, and returns a Completion or a Stream of pieces.

Knows no protocol; the transports do.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self, Unpack

from .errors import IncompleteError, UnavailableError
from .knobs import Knobs
from .request import Message, Segment, build, build_infill, build_revise
from .result import Assembler, Completion, Piece
from .transports import Health, Options, Settings, TimeLimits, Transport, Wire, open_transport
from .transports.time_limits import HEALTH_SECONDS, POLL_SECONDS


class Client:
    """Talks to one server; threads may share it.

    Args:
        url: host:port, or a URL that begins with grpc://, grpcs://, http:// or https://; None for $TRIMODE_URL, else
            for the protocol's usual port on this machine.
        protocol: "grpc" or "http" (Triton's generate endpoints); None for what the address says, else for gRPC.
        options: see Options.

    Raises:
        AddressError, TlsError, InvalidRequestError: the address, a certificate or a header is wrong.
    """

    def __init__(
        self,
        url: str | None = None,
        protocol: Wire | None = None,
        **options: Unpack[Options],
    ) -> None:
        settings = Settings(**options)
        self._timeout = settings.timeout
        self._inactivity = settings.inactivity
        self._transport = open_transport(url, protocol, settings)

    def generate(
        self,
        question: str | None = None,
        /,
        *,
        messages: Sequence[Message] | None = None,
        text_input: str | None = None,
        input_ids: Sequence[int] | None = None,
        timeout: float | None = None,
        **knobs: Unpack[Knobs],
    ) -> Completion:
        """Return the whole answer to a question.

        The question is one user message of a chat. Instead of it, give `messages`, a whole conversation; `text_input`,
        plain text to continue without the chat template; or `input_ids`, tokens.

        Raises:
            ServerError, UnavailableError, IncompleteError: see the tree in errors.py.
        """
        limit = self._timeout if timeout is None else timeout
        fields = build(question, messages, text_input, input_ids, knobs, stream=False, timeout=limit)
        return self._whole(fields, limit)

    def infill(
        self,
        left: str | None = None,
        right: str | None = None,
        *,
        messages: Sequence[Message] | None = None,
        segments: Sequence[Segment] | None = None,
        timeout: float | None = None,
        **knobs: Unpack[Knobs],
    ) -> Completion:
        """Fill the gap between left and right; return the filling as `text` and in `fills`.

        Instead of left, give messages, whose last one may be an unfinished one of the assistant; or segments, the whole
        text as strings with a mapping for each gap, {} or {"infill_tokens": n}. The knob instruction says what left or
        segments answer. With exclude_input_in_output=False `text` is the whole text.

        Raises:
            ServerError, UnavailableError, IncompleteError: see the tree in errors.py.
        """
        limit = self._timeout if timeout is None else timeout
        fields = build_infill(left, right, messages, segments, knobs, timeout=limit)
        return self._whole(fields, limit)

    def revise(self, text: str, *, timeout: float | None = None, **knobs: Unpack[Knobs]) -> Completion:
        """Return the revised text as `text`, and its changes as `edits`.

        Raises:
            ServerError, UnavailableError, IncompleteError: see the tree in errors.py.
        """
        limit = self._timeout if timeout is None else timeout
        return self._whole(build_revise(text, knobs, timeout=limit), limit)

    def stream(
        self,
        question: str | None = None,
        /,
        *,
        messages: Sequence[Message] | None = None,
        text_input: str | None = None,
        input_ids: Sequence[int] | None = None,
        timeout: float | None = None,
        **knobs: Unpack[Knobs],
    ) -> Stream:
        """Return the answer piece by piece; the last piece carries the Completion. Takes what `generate` takes.

        Closing the stream, leaving its `with` block, or dropping it after the loop was left cancels the request.

        Raises:
            InvalidRequestError: at once; every other error while iterating.
        """
        limit = self._timeout if timeout is None else timeout
        fields = build(question, messages, text_input, input_ids, knobs, stream=True, timeout=limit)
        return Stream(self._transport, fields, TimeLimits(limit, self._inactivity))

    def health(self, timeout: float = HEALTH_SECONDS) -> Health:
        """Return the server's state; an address where nobody answers is not live."""
        return self._transport.health(timeout)

    def wait_until_ready(self, timeout: float = 60.0) -> None:
        """Return once requests can be sent.

        Raises:
            UnavailableError: the server is not ready after `timeout` seconds.
        """
        ends = time.monotonic() + timeout
        while not (health := self.health(min(HEALTH_SECONDS, max(POLL_SECONDS, ends - time.monotonic())))).ok:
            if time.monotonic() >= ends:
                raise UnavailableError(f"the server is not ready after {timeout:g} s: {health.reason}")
            time.sleep(POLL_SECONDS)

    def _whole(self, fields: dict[str, Any], limit: float | None) -> Completion:
        with Stream(self._transport, fields, TimeLimits(limit, None)) as stream:
            return stream.finish()

    def close(self) -> None:
        """Drop the connections, for good; requests that run end with ClosedError."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


class Stream:
    """Iterator of one request's pieces. The request is sent at the first `next`."""

    def __init__(self, transport: Transport, fields: Mapping[str, object], limits: TimeLimits) -> None:
        self._assembler = Assembler()
        self._responses = transport.responses(fields, limits)
        self.completion: Completion | None = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Piece:
        try:
            outputs = next(self._responses)
        except StopIteration:
            if self.completion is None:
                raise IncompleteError("the server's answer ended without a finish_reason") from None
            raise
        piece = self._assembler.add(outputs)
        self.completion = piece.completion
        return piece

    def finish(self) -> Completion:
        """Read the rest and return the Completion."""
        for _ in self:
            pass
        assert self.completion is not None  # the iteration raises otherwise
        return self.completion

    def close(self) -> None:
        """Cancel the request if it is still running; closing twice is fine."""
        self._responses.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.close()
