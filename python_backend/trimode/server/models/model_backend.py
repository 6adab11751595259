"""ModelBackend: one model as the fronts see it: its names, whether its backend serves, and requests to it over HTTP.

Knows Triton's URLs; nothing of callers and their connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Collection
from contextlib import AbstractAsyncContextManager
from urllib.parse import quote

from ...api.tensors import CANCEL, MODEL_NAME
from ...errors import Refusal
from ..answer_call import AnswerCall
from ..backend_client import JSON, Answer, BackendClient
from ..gate import Gate
from ..http_front import trace
from ..serving import Limits, ServingState, not_serving

CANCEL_SECONDS = 10.0  # for the backend to confirm a cancellation; nobody waits for it


class ModelBackend:
    """One model, behind `http`; `state` says whether its backend serves.

    Attributes:
        name: KServe's, by which its Triton knows it.
        others: further names by which callers may know it.
        gate: where requests for answers wait while one bundle takes the place of another.
        running: requests for an answer over HTTP that have none yet.
    """

    def __init__(
        self,
        http: BackendClient,
        state: ServingState,
        limits: Limits,
        gate: Gate | None = None,
        name: str = MODEL_NAME,
        others: Collection[str] = (),
    ) -> None:
        self._http = http
        self._limits = limits
        self._cancelling: set[asyncio.Task[None]] = set()
        self.state = state
        self.gate = gate or Gate()
        self.name, self.others = name, others
        self.running = 0

    @property
    def path(self) -> str:
        """Where its Triton has it."""
        return f"/v2/models/{quote(self.name, safe='')}"

    @property
    def generate_path(self) -> str:
        """Where its Triton answers once."""
        return f"{self.path}/generate"

    @property
    def generation(self) -> int:
        """Which of the bundles that followed each other is served."""
        return self.gate.generation

    def ask(self, path: str, body: bytes, tag: str) -> AbstractAsyncContextManager[Answer]:
        """Send a checked request, within `holding`; one that is not read to its end is cancelled by its tag.

        Raises:
            Refusal: no backend serves. For other errors see BackendClient.request.
        """
        return AnswerCall(lambda: self.call("POST", path, body), lambda: self.cancel(tag))

    async def passed(self) -> None:
        """Wait while the backend is replaced in order; raise a Refusal if that takes too long."""
        if not await self.gate.passed(self._limits.silence_seconds):
            raise not_serving(self.state)

    @contextlib.asynccontextmanager
    async def holding(self, generation: int | None = None) -> AsyncIterator[None]:
        """Wait as `passed` does, then let no other backend take this one's place, for as long as a request runs.

        Raises:
            Refusal: that takes too long, or what serves now is not of `generation`, by which the request was made.
        """
        await self.passed()
        if generation not in (None, self.generation):
            raise Refusal("unavailable", "the model was replaced while the request waited, try again")
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1

    def cancel(self, tag: str) -> None:
        """End the request with this tag, whose caller left; nobody waits for that."""
        self._cancelling.add(task := asyncio.create_task(self._cancel(tag)))
        task.add_done_callback(self._cancelling.discard)

    def call(self, method: str, path: str, body: bytes = b"") -> AbstractAsyncContextManager[Answer]:
        """Send a request as it is.

        Raises:
            Refusal: no backend serves. For other errors see BackendClient.request.
        """
        if not self.state.alive:
            raise not_serving(self.state)
        # Not the caller's Content-Type: Triton 2.51 crashes on a large form-urlencoded body, which is curl's default.
        silence = self._limits.silence_seconds
        return self._http.request(method, path, body, {**JSON, **trace.passed_on()}, silence=silence)

    async def _cancel(self, tag: str) -> None:
        """End a request whose caller left; Triton 2.51 notices that only while it writes a stream."""
        body = json.dumps({CANCEL: tag}).encode("ascii")
        with contextlib.suppress(OSError):
            async with self._http.request("POST", self.generate_path, body, JSON, silence=CANCEL_SECONDS) as answer:
                await answer.read()
