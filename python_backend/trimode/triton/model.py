"""TritonPythonModel: Triton's initialize, execute and finalize, on top of the runtime.

Knows how requests come in and where responses go; the runtime decides what is valid and how it is answered.
"""

from __future__ import annotations

import traceback
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import triton_python_backend_utils as pb_utils

from ..api.tensors import CANARY_TAG
from ..config import ServerConfig
from ..errors import UNFORESEEN, CancelledError, RequestError, TrimodeError, engine_failure
from ..metrics import Recorder
from ..runtime import Runtime
from .arrays import ask_for_outputs, caller_of, cancel_target, read_request, tag_of, token_rate_of
from .housekeeper import Housekeeper
from .instance import Instance
from .intake import Intake
from .live_request import LiveRequest, refuse
from .token_budgets import TokenBudgets

RENDERED = {"messages", "instruction"}
"""Fields that a chat template renders, which can take seconds: these requests are queued by a thread of their own."""
GRACE_SECONDS = 5.0  # for requests that still run: Triton finalizes after the last response, so no caller waits


class TritonPythonModel:
    """One instance of the model `nemotron_diffusion`: decoupled, any number of requests at once."""

    def initialize(self, args: dict[str, str]) -> None:
        """Open the runtime; Triton reports the model ready only after its warm-up pass."""
        folder = Path(args["model_repository"]).resolve()
        instance = Instance.of(args)
        try:
            config = ServerConfig.load(folder / "model.yaml")
            if instance.gpu is not None:
                config = replace(config, device=instance.gpu)
            # A relative bundle is relative to the project, in which this folder is model_repository/nemotron_diffusion.
            self._runtime = Runtime.open(replace(config, bundle=folder.parents[1] / config.bundle))
        except TrimodeError as exc:
            raise pb_utils.TritonModelException(exc.on_the_wire()) from exc
        self._recorder = Recorder()
        self._budgets = TokenBudgets()
        self._intake = Intake()
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
        live = LiveRequest(name, sender, recorder, self._housekeeper.forget, used)
        given: dict[str, object] = {}
        try:
            if rate is not None:
                self._budgets.check(caller, rate)
            given = read_request(((t.name(), t.as_numpy()) for t in request.inputs()), parameters)
            ask_for_outputs(given, request.requested_output_names())
            timeout_ms = -(-request.timeout() // 1000) or None  # timeout() is in microseconds, 0 for none
            submit = partial(self._submit, live, given, timeout_ms, caller)
            if RENDERED & given.keys():
                self._intake.put(submit, partial(self._refuse, sender, recorder, given))
                return
            submit()
        except Exception as exc:
            self._refuse(sender, recorder, given, exc)

    def _submit(self, live: LiveRequest, given: dict[str, object], timeout_ms: int | None, caller: str) -> None:
        handle = self._runtime.submit(given, live.sink, timeout_ms=timeout_ms, caller=caller)
        self._housekeeper.watch(live)
        live.attach(handle)

    def _refuse(self, sender: Any, recorder: Recorder | None, given: dict[str, object], cause: Exception) -> None:
        """Answer a request that could not be read or queued; a defect of ours is logged in full."""
        error = cause if isinstance(cause, TrimodeError) else TrimodeError(UNFORESEEN)
        if isinstance(cause, MemoryError):
            error = engine_failure("the request could not be read or queued", cause)
        if error is not cause:
            trace = "".join(traceback.format_exception(cause))
            pb_utils.Logger.log_error(f"a request could not be read or queued: {trace}")
        if recorder:
            mode = "invalid" if isinstance(error, RequestError) else str(given.get("mode", "default"))
            recorder.refused(mode, error)
        refuse(sender, error)

    def finalize(self) -> None:
        """End the requests that still run, then release the metrics."""
        self._intake.close()
        self._runtime.close(GRACE_SECONDS)
        self._housekeeper.close()
