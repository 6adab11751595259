"""One accepted request and its response sender: turns chunks into responses, exactly one of them final.

The runtime's sender thread brings the chunks; the housekeeper's thread asks whether the caller left. Knows nothing of
how chunks are made.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import triton_python_backend_utils as pb_utils

from ..api.answer import Chunk
from ..errors import UNFORESEEN, CancelledError, TrimodeError
from ..logs import request_id
from ..metrics import Recorder
from ..requests.request import Handle
from .arrays import response_arrays
from .traced import Traced

logger = logging.getLogger(__name__)

FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL


def triton_error(error: TrimodeError) -> Any:
    """Return `error` as Triton's own error, with the code of its type and `<error_type>: <message>` as its text."""
    code = getattr(pb_utils.TritonError, error.type.triton_code)
    return pb_utils.TritonError(error.on_the_wire(), code)


def refuse(sender: Any, error: TrimodeError) -> None:
    """Answer with `error` and nothing else."""
    sender.send(pb_utils.InferenceResponse(error=triton_error(error)), flags=FINAL)


class LiveRequest:
    """A request from `execute` to its final response; after that it is `closed`, and `on_closed` was called once.

    Once `cancelled` it ends as soon as it can, whether it was queued or not.
    """

    def __init__(
        self,
        name: str,
        sender: Any,
        recorder: Recorder | None,
        on_closed: Callable[[LiveRequest], None],
        used: Callable[[int], None] | None = None,
        log_id: str = "",
    ) -> None:
        """Begin one.

        Args:
            name: the front's own, "" for one that did not come by it.
            sender: Triton's.
            recorder: takes what the request did; None for the server's own requests.
            on_closed: informed of the end.
            used: informed then how many tokens the prompt and the answer had; None if nobody counts them.
            log_id: what lines of the log name it by.
        """
        self.name = name
        self.log_id = log_id
        self._sender = sender
        self._recorder = recorder
        self._on_closed = on_closed
        self._used = used
        self._started = time.monotonic()
        self._cum_log_probs = 0.0
        self._sent = False
        self._ready = threading.Event()  # set with the handle: the sink may be called before submit() has returned it
        # Triton 2.51 crashes, server and all, when is_cancelled() and the final send of one sender overlap.
        self._lock = threading.Lock()
        self._handle: Handle | None = None
        self._leave: Callable[[], None] | None = None
        self.cancelled = False
        self.closed = False
        self.traced: Traced | None = None
        """Takes what its spans say; None where nobody asked for spans."""

    def attach(self, handle: Handle) -> None:
        """Set the handle that submit() returned; a request cancelled before that ends now."""
        self._handle, self._leave = handle, None  # what ends the wait holds what waited
        if self.cancelled:
            handle.cancel()
        self._ready.set()

    def waits(self, leave: Callable[[], None]) -> None:
        """Note what ends a wait before the queue, in which the request is now."""
        self._leave = leave

    def check_not_cancelled(self) -> None:
        """Raise a CancelledError if nobody waits for the answer any more."""
        if self.cancelled:
            raise CancelledError

    def refuse(self, error: TrimodeError) -> None:
        """End a request that was not queued: `error` is its only response."""
        with self._lock:
            self.closed = True
            self._on_closed(self)
            logger.debug("refused: %s", error.for_log(), extra=request_id.named(self.log_id))
            try:
                refuse(self._sender, error)
            finally:  # after it, since nobody waits for spans
                if self.traced is not None:
                    self.traced.refused(error)

    def sink(self, chunk: Chunk) -> None:
        """Send one chunk; if that fails, cancel the request and send an error."""
        with request_id.working_for(self.log_id):
            self._pass_on(chunk)

    def _pass_on(self, chunk: Chunk) -> None:
        self._ready.wait()
        assert self._handle is not None
        with self._lock:
            if self.closed:
                return
            if chunk.last and self._used:  # first: its caller may ask again as soon as it has this chunk
                self._used(chunk.num_input_tokens + chunk.counters.output_tokens)
            try:
                self._send(chunk, self._handle)
            except Exception as exc:
                self._give_up(chunk, self._handle, exc)

    def _give_up(self, chunk: Chunk, handle: Handle, cause: Exception) -> None:
        """Send an error as the final response; if that fails too, there is none."""
        handle.cancel()
        self._close(chunk, "error")
        try:
            logger.error("an answer could not be sent: %r", cause)
            refuse(self._sender, TrimodeError(UNFORESEEN))
        except Exception as second:
            logger.warning("a response sender took neither the answer nor the error: %s", second)

    def _send(self, chunk: Chunk, handle: Handle) -> None:
        if chunk.error is not None:
            refuse(self._sender, chunk.error)
        else:
            self._cum_log_probs += sum(chunk.log_probs)
            arrays = response_arrays(chunk, handle.params, self._cum_log_probs)
            response = pb_utils.InferenceResponse([pb_utils.Tensor(name, array) for name, array in arrays.items()])
            self._sender.send(response, flags=FINAL if chunk.last else 0)
        if chunk.token_ids or chunk.last:  # any other chunk only shows a block before its tokens are committed
            if not self._sent and chunk.error is None:
                logger.debug("the first part of the answer is sent")
            if not self._sent and self._recorder and chunk.error is None:
                self._recorder.first_chunk(handle.params.kind, time.monotonic() - self._started)
            self._sent = True
        if chunk.last:
            self._close(chunk, chunk.error.type.outcome if chunk.error else chunk.finish_reason or "")

    def _close(self, chunk: Chunk, outcome: str) -> None:
        assert self._handle is not None
        self.closed = True
        self._on_closed(self)
        seconds = time.monotonic() - self._started
        if self.traced is not None:
            self.traced.ended(chunk, self._handle.params, outcome)
        tokens = chunk.num_input_tokens, chunk.counters.output_tokens
        logger.debug("ended with %s after %.3f s: %d tokens read, %d given", outcome, seconds, *tokens)
        if self._recorder:
            mode = self._handle.params.kind
            self._recorder.answered(mode, outcome, seconds, chunk, self._handle.params.max_tokens)

    def cancel(self) -> None:
        """End it, now or as soon as it has its handle; the caller gets an error as the final response."""
        self.cancelled = True
        if self._handle is not None:
            self._handle.cancel()
        elif self._leave is not None:
            self._leave()

    def cancel_if_caller_left(self) -> None:
        """Cancel the request if its caller left; asking waits for the server's process."""
        with self._lock:
            left = not self.closed and self._sender.is_cancelled()
        if left:  # without the lock: a request that is cancelled while it waits is refused at once
            self.cancel()
