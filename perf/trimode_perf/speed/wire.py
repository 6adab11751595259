"""The leanest ways to ask for one text: http.client over a kept connection, tritonclient over one open stream.

For timing what control loop and Triton add; a client library's own time would hide it. Text only, no counters.
"""

from __future__ import annotations

import http.client
import json
import queue
from typing import Any

import numpy as np
import tritonclient.grpc as triton
from trimode.api.tensors import MODEL_NAME

from ..common.progress import MeasureError
from ..common.prompts import Prompt

SECONDS = 120.0


class HttpWire:
    """POST generate over one connection."""

    def __init__(self, address: str) -> None:
        self._connection = http.client.HTTPConnection(address, timeout=SECONDS)

    def ask(self, prompt: Prompt, mode: str, max_tokens: int) -> str:
        """Return the answer's text."""
        body = json.dumps({**prompt.wire, "mode": mode, "max_tokens": max_tokens})
        headers = {"Content-Type": "application/json"}
        self._connection.request("POST", f"/v2/models/{MODEL_NAME}/generate", body, headers)
        answer = self._connection.getresponse()
        found = json.loads(answer.read())
        if answer.status != http.client.OK:
            raise MeasureError(f"the server answered {answer.status}: {found}")
        text: str = found["text_output"]
        return text

    def close(self) -> None:
        """Drop the connection."""
        self._connection.close()


class GrpcWire:
    """ModelStreamInfer over one stream that stays open."""

    def __init__(self, address: str) -> None:
        self._answers: queue.SimpleQueue[tuple[Any, Any]] = queue.SimpleQueue()
        self._client = triton.InferenceServerClient(address)
        self._client.start_stream(lambda result, error: self._answers.put((result, error)))

    def ask(self, prompt: Prompt, mode: str, max_tokens: int) -> str:
        """Return the answer's text."""
        texts = {**prompt.wire, "mode": mode}
        inputs = [triton.InferInput(name, [1], "BYTES") for name in texts]
        for tensor, text in zip(inputs, texts.values(), strict=True):
            tensor.set_data_from_numpy(np.array([text.encode("utf-8")], dtype=np.object_))
        inputs.append(triton.InferInput("max_tokens", [1], "INT32"))
        inputs[-1].set_data_from_numpy(np.array([max_tokens], dtype=np.int32))
        self._client.async_stream_infer(MODEL_NAME, inputs)
        result, error = self._answers.get(timeout=SECONDS)
        if error is not None:
            raise MeasureError(f"the server answered: {error}")
        return bytes(result.as_numpy("text_output")[0]).decode("utf-8")

    def close(self) -> None:
        """End the stream."""
        self._client.stop_stream()
        self._client.close()
