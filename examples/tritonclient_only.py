"""Ask over gRPC with NVIDIA's tritonclient alone: each field is a tensor, and the answer is a stream of responses.

    python examples/tritonclient_only.py "What is 23 + 2221?"
    python examples/tritonclient_only.py "What is 23 + 2221?" --mode autoregressive --cancel-after 2

The model is decoupled: a request has any number of responses, so it needs a stream. `python -m trimode.api.tensors`
prints the tensors and their types.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
from tritonclient.grpc import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException

MODEL = "nemotron_diffusion"
SECONDS = 30.0  # to wait for a response; nano's come within a second
TYPES = {str: ("BYTES", object), int: ("INT32", np.int32), bool: ("BOOL", bool)}


def tensor(name: str, value: str | int | bool) -> InferInput:
    """Return a field as a tensor of shape [1]; JSON travels as text."""
    datatype, dtype = TYPES[type(value)]
    made = InferInput(name, [1], datatype)
    made.set_data_from_numpy(np.array([value.encode() if isinstance(value, str) else value], dtype=dtype))
    return made


def ask(client: InferenceServerClient, request: dict[str, str | int | bool], cancel_after: int | None) -> None:
    """Print the answer piece by piece; after `cancel_after` pieces stop the stream, which cancels the request.

    Raises:
        InferenceServerException: nobody answers, or the server refuses the request.
    """
    arrived: SimpleQueue[tuple[Any, InferenceServerException | None]] = SimpleQueue()
    client.start_stream(lambda result, error: arrived.put((result, error)))  # called by a thread of tritonclient
    inputs = [tensor(name, value) for name, value in request.items()]
    client.async_stream_infer(MODEL, inputs, enable_empty_final_response=True)
    pieces, running = 0, True
    try:
        while running and pieces != cancel_after:
            result, error = arrived.get(timeout=SECONDS)
            if error is not None:
                running = False
                raise error
            running = not result.get_response().parameters["triton_final_response"].bool_param
            if (text := result.as_numpy("text_output")) is not None:  # the response that ends the stream is empty
                print(text[0].decode(), end="", flush=True)
                pieces += 1
    finally:
        client.stop_stream(cancel_requests=running)
    print(f"\ncancelled after {pieces} pieces" if running else "")


def main() -> None:
    """Read the command line and ask."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("question")
    parser.add_argument("--mode", default="auto", help="[%(default)s]")
    parser.add_argument("--cancel-after", type=int, metavar="N", help="cancel the request after N pieces")
    parser.add_argument("--url", default=os.environ.get("TRIMODE_URL", "localhost:8001"), help="gRPC [%(default)s]")
    options = parser.parse_args()
    messages = json.dumps([{"role": "user", "content": options.question}])
    request = {"messages": messages, "mode": options.mode, "max_tokens": 128, "stream": True}
    try:
        with InferenceServerClient(options.url) as client:
            if not client.is_model_ready(MODEL):  # which also fails, and says why, where nobody answers
                sys.exit(f"tritonclient_only.py: {MODEL} is not ready at {options.url}")
            ask(client, request, options.cancel_after)
    except InferenceServerException as exc:  # a message of the server is "error_type: text"
        sys.exit(f"tritonclient_only.py: {exc.message()}")
    except Empty:
        sys.exit(f"tritonclient_only.py: no response within {SECONDS:g} s")
    except KeyboardInterrupt:
        sys.exit(130)  # the request is cancelled


if __name__ == "__main__":
    main()
