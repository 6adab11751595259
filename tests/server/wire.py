"""Two thin clients for tests: plain HTTP, and a stream of the synchronous tritonclient. Nothing waits for ever."""

from __future__ import annotations

import http.client
import json
import queue
from collections.abc import Iterator
from contextlib import closing
from types import TracebackType
from typing import Any

import numpy as np
import tritonclient.grpc as triton
from trimode.api.tensors import INPUTS, MODEL_NAME
from trimode.triton.arrays import NUMPY_TYPES

SECONDS = 30.0
PATH = f"/v2/models/{MODEL_NAME}"
TYPES = {tensor.name: tensor.data_type for tensor in INPUTS}
Reply = tuple[int, dict[str, Any]]


def ask(port: int, method: str, path: str, body: bytes | None = None) -> http.client.HTTPResponse:
    """One request; the answer was read, and has its body in `text`."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)) as connection:
        connection.request(method, path, body)
        answer = connection.getresponse()
        answer.text = answer.read()  # type: ignore[attr-defined]
        return answer


def send(port: int, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    """One HTTP request; underscores of header names become dashes."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)) as connection:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.read()


def generate(port: int, request: object) -> Reply:
    """POST /generate; `request` is JSON data, or bytes sent as they are."""
    body = request if isinstance(request, bytes) else json.dumps(request).encode()
    status, answer = send(port, "POST", f"{PATH}/generate", body)
    return status, json.loads(answer)


def events(port: int, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """POST /generate_stream; gives each event as it comes. Closing the iterator closes the connection."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)) as connection:
        connection.request("POST", f"{PATH}/generate_stream", json.dumps(request))
        with connection.getresponse() as answer:
            if answer.status != 200:
                yield json.loads(answer.read())
                return
            for line in answer:
                if line.startswith(b"data: "):
                    yield json.loads(line[6:])


def tensor(name: str, value: object) -> triton.InferInput:
    """An input tensor; a str, bytes or number becomes shape [1], a list its own length."""
    values = value if isinstance(value, list) else [value]
    data_type = TYPES[name].removeprefix("TYPE_")
    if data_type == "STRING":
        array = np.array([v if isinstance(v, bytes) else str(v).encode() for v in values], dtype=np.object_)
        data_type = "BYTES"
    else:
        array = np.array(values, dtype=NUMPY_TYPES[TYPES[name]])
    made = triton.InferInput(name, list(array.shape), data_type)
    made.set_data_from_numpy(array)
    return made


class GrpcStream:
    """One gRPC stream; `send` a request, then take `answers`. Leaving the block cancels what still runs.

    Only then: Triton 2.51 cannot end in order after the cancellation of a stream whose request it refused itself.
    """

    def __init__(self, port: int, **headers: str) -> None:
        self._answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
        self._unanswered = 0
        self._client = triton.InferenceServerClient(f"127.0.0.1:{port}")
        dashed = {name.replace("_", "-"): value for name, value in headers.items()}
        self._client.start_stream(lambda result, error: self._answers.put((result, error)), headers=dashed)

    def __enter__(self) -> GrpcStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.stop_stream(cancel_requests=self._unanswered > 0)
        self._client.close()

    def send(
        self,
        request: dict[str, Any],
        parameters: dict[str, Any] | None = None,
        request_id: str = "",
        outputs: tuple[str, ...] = (),
    ) -> None:
        self.send_inputs([tensor(name, value) for name, value in request.items()], parameters, request_id, outputs)

    def send_inputs(
        self,
        inputs: list[triton.InferInput],
        parameters: dict[str, Any] | None = None,
        request_id: str = "",
        outputs: tuple[str, ...] = (),
    ) -> None:
        self._unanswered += 1
        self._client.async_stream_infer(
            MODEL_NAME,
            inputs,
            request_id=request_id,
            enable_empty_final_response=True,
            parameters=parameters,
            outputs=[triton.InferRequestedOutput(name) for name in outputs] or None,
        )

    def answers(self) -> Iterator[dict[str, Any]]:
        """Outputs by name of each answer up to the final one; an error has the keys error and status."""
        while True:
            result, error = self._answers.get(timeout=SECONDS)
            if error is not None:
                self._unanswered -= 1
                yield {"error": error.message(), "status": error.status()}
                return
            response = result.get_response()
            final = response.parameters["triton_final_response"].bool_param
            self._unanswered -= final
            yield {output.name: result.as_numpy(output.name).tolist() for output in response.outputs}
            if final:
                return


def over_grpc(port: int, request: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    """Send one request over a stream of its own and collect its answers."""
    with GrpcStream(port) as stream:
        stream.send(request, **more)
        return list(stream.answers())


def text_of(answers: list[dict[str, Any]]) -> str:
    """The concatenated text of gRPC answers or of SSE events."""
    parts = [answer["text_output"] for answer in answers]
    return "".join(part[0].decode() if isinstance(part, list) else part for part in parts)
