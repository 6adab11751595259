"""What Triton's protocol offers of its own and no caller may use: one such request ended the whole of Triton 2.51."""

from __future__ import annotations

from typing import Any

import pytest
import tritonclient.grpc as triton
from trimode.api.tensors import MODEL_NAME

from tests.server.server import Server
from tests.server.wire import SECONDS, GrpcStream, generate, tensor

SHORT: dict[str, Any] = {"text_input": "Once", "mode": "autoregressive", "max_tokens": 2, "end_id": -1}


@pytest.mark.parametrize("count", [1, 3])
def test_an_answer_as_classes_is_refused_and_the_server_serves_on(server: Server, count: int) -> None:
    before = server.triton
    with GrpcStream(server.grpc_port) as stream:
        stream._unanswered += 1
        stream._client.async_stream_infer(
            MODEL_NAME,
            [tensor(name, value) for name, value in SHORT.items()],
            outputs=[triton.InferRequestedOutput("text_output", class_count=count)],
            enable_empty_final_response=True,
        )
        _, error = stream._answers.get(timeout=SECONDS)
        stream._unanswered -= 1
        assert str(error.message()).startswith("unknown_field: classification is no parameter")
        stream.send(SHORT)
        assert "text_output" in next(stream.answers())
    assert generate(server.http_port, SHORT)[0] == 200
    assert server.triton == before
