"""TritonPythonModel: Triton's initialize, execute and finalize, on top of the runtime.

Knows how requests come in and where responses go; the runtime decides what is valid and how it is answered.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import triton_python_backend_utils as pb_utils

from ..api.tensors import CANARY_TAG
from ..bundle import digests
from ..bundle.manifest import Manifest
from ..config import ServerConfig
from ..errors import UNFORESEEN, CancelledError, DeviceLostError, RequestError, TrimodeError, engine_failure
from ..logs import request_id
from ..logs.setup import asked_for, log_to
from ..metrics import Recorder
from ..requests.request import Arrival, Request, Sender
from ..runtime import Runtime
from ..tracing.spans import ENDPOINT_VARIABLE, Spans
from .arrays import ask_for_outputs, caller_of, cancel_target, log_id_of, read_request, tag_of, token_rate_of, trace_of
from .ending import end_process
from .housekeeper import Housekeeper
from .instance import Instance
from .intake import Intake
from .live_request import LiveRequest, refuse
from .token_budgets import TokenBudgets
from .traced import Traced

logger = logging.getLogger(__name__)

GRAMMAR_SECONDS = 30.0
"""Seconds for which a request may wait for the grammars before its own: 15 that take all the time they may."""
PICTURE_THREADS = 4
"""Requests whose pictures are loaded at once: most of the time goes to waiting for other hosts."""
PICTURE_PLACES = 64
"""Requests that may wait for that, each with its pictures' files: 512 MiB in bodies of 8 MiB."""
GRACE_SECONDS = 5.0  # for requests that still run: Triton finalizes after the last response, so no caller waits


class TritonPythonModel:
    """One instance of the model `nemotron_diffusion`: decoupled, any number of requests at once."""

    def initialize(self, args: dict[str, str]) -> None:
        """Open the runtime; Triton reports the model ready only after its warm-up pass."""
        folder = Path(args["model_repository"]).resolve()
        instance = Instance.of(args)
        try:
            log_to(sys.stderr, *asked_for(os.environ))
            config = ServerConfig.load(folder / "model.yaml")
            spans = Spans.of(os.environ.get(ENDPOINT_VARIABLE, ""), __name__)
            # A relative bundle is relative to the project, in which this folder is model_repository/nemotron_diffusion.
            bundle = folder.parents[1] / config.bundle
            digests.check(bundle, Manifest.load(bundle), known=os.environ.get(digests.STATE, ""))
            self._runtime = Runtime.open(replace(config, bundle=bundle), instance.gpu)
        except TrimodeError as exc:
            raise pb_utils.TritonModelException(exc.on_the_wire()) from exc
        self._runtime.when_lost(end_process)
        self._recorder = Recorder()
        self._spans = spans
        self._budgets = TokenBudgets()
        self._chats = Intake("the chat template")  # rendering can take seconds, as compiling can
        self._grammars = Intake("the grammars of others", GRAMMAR_SECONDS)
        self._pictures = Intake("the pictures of others", threads=PICTURE_THREADS, places=PICTURE_PLACES)
        self._housekeeper = Housekeeper(self._recorder, self._runtime.stats, instance.name)

    def execute(self, requests: list[Any]) -> None:
        """Check and queue requests; the runtime's sender thread sends the answers later."""
        for request in requests:
            self._accept(request)

    def _accept(self, request: Any) -> None:
        sender = request.get_response_sender()
        parameters = request.parameters()
        if (target := cancel_target(parameters)) is not None:
            refuse(sender, CancelledError(f"{self._housekeeper.cancel(target)} requests"))
            return
        name = tag_of(parameters)
        recorder = None if name == CANARY_TAG else self._recorder
        caller, rate = caller_of(parameters), token_rate_of(parameters)
        used = None if rate is None else partial(self._budgets.use, caller)
        log_id = request_id.plain(log_id_of(parameters) or str(request.request_id()))
        live = LiveRequest(name, sender, recorder, self._housekeeper.forget, used, log_id)
        if self._spans is not None and recorder is not None:
            live.traced = Traced(self._runtime.manifest.model, self._spans.request(trace_of(parameters)))
        with request_id.working_for(log_id):
            self._take(request, live, recorder, caller, rate)

    def _take(self, request: Any, live: LiveRequest, recorder: Recorder | None, caller: str, rate: int | None) -> None:
        parameters = request.parameters()
        mode = "default"
        try:
            if rate is not None:
                self._budgets.check(caller, rate)
            self._housekeeper.watch(live)  # before it waits for anything: a cancellation is not remembered for long
            given = read_request(((t.name(), t.as_numpy()) for t in request.inputs()), parameters)
            mode = str(given.get("mode", mode))
            ask_for_outputs(given, request.requested_output_names())
            if live.traced is not None:
                live.traced.read(given)
            timeout_ms = -(-request.timeout() // 1000) or None  # timeout() is in microseconds, 0 for none
            sender = Sender(caller, live.log_id, None if live.traced is None else live.traced.trace)
            arrival = Arrival(timeout_ms=timeout_ms, sender=sender, arrived=time.monotonic())
            self._submit(
                live, self._runtime.check(given, live.sink, **arrival), partial(self._refuse, live, recorder, mode)
            )
        except Exception as exc:
            self._refuse(live, recorder, mode, exc)

    def _submit(self, live: LiveRequest, request: Request, refuse: Callable[[Exception], None]) -> None:
        """Let a request that was checked be queued, once its pictures are loaded if it has any."""
        live.check_not_cancelled()
        if request.params.prompt.images:
            load = partial(self._load, live, request, refuse)
            self._pictures.put(load, refuse, request.claim, live.waits)
        else:
            self._hand_on(live, request, refuse)

    def _load(self, live: LiveRequest, request: Request, refuse: Callable[[Exception], None]) -> None:
        """Load a request's pictures, then let it be queued."""
        with request_id.working_for(live.log_id):
            loaded = self._runtime.load(request, lambda: live.cancelled)
        self._hand_on(live, loaded, refuse)

    def _hand_on(
        self, live: LiveRequest, request: Request, refuse: Callable[[Exception], None], *, rendered: bool = False
    ) -> None:
        """Let a request be queued where it holds up none that needs less: one with a new grammar, a chat, or here.

        A chat whose grammar was dropped while it waited for the chat template goes on to where grammars are compiled.
        """
        prompt = request.params.prompt
        if self._runtime.must_compile(request):
            self._grammars.put(partial(self._start, live, request), refuse, request.claim, live.waits)
        elif not rendered and (prompt.messages is not None or prompt.instruction is not None):
            again = partial(self._hand_on, live, request, refuse, rendered=True)
            self._chats.put(again, refuse, request.claim, live.waits)
        else:
            self._start(live, request)

    def _start(self, live: LiveRequest, request: Request) -> None:
        live.check_not_cancelled()
        with request_id.working_for(live.log_id):
            request.check_time()
            live.attach(self._runtime.start(request))

    def _refuse(self, live: LiveRequest, recorder: Recorder | None, mode: str, cause: Exception) -> None:
        """Answer a request that could not be read or queued; a defect of ours is logged in full."""
        error = cause if isinstance(cause, TrimodeError) else TrimodeError(UNFORESEEN)
        if isinstance(cause, MemoryError | DeviceLostError):
            error = engine_failure("the request could not be read or queued", cause)
        if error is not cause:
            named = request_id.named(live.log_id)
            logger.error("a request could not be read or queued", exc_info=cause, extra=named)
        if recorder:
            recorder.refused("invalid" if isinstance(error, RequestError) else mode, error)
        live.refuse(error)

    def finalize(self) -> None:
        """End the requests that still run, then release the metrics."""
        self._pictures.close()
        self._chats.close()
        self._grammars.close()
        self._runtime.close(GRACE_SECONDS)
        self._housekeeper.close()
        if self._spans is not None:
            self._spans.close()
