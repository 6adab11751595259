"""The tensors of the Triton model: names, types and shapes, all derived from fields.FIELDS and output.Counters.

Turns input arrays into the mapping that GenerationParams.parse takes, and chunks into output arrays.
Knows nothing of Triton's Python API. `python -m trimode.triton.tensors [GPU ...]` prints config.pbtxt.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..api.answer import Chunk
from ..api.fields import BY_NAME, FIELDS, INT32_MAX, MAX_TEXT_CHARACTERS, Field, Kind
from ..api.params import GenerationParams
from ..errors import RequestError, Said

MODEL_NAME = "nemotron_diffusion"
CANARY_ID = "trimode-canary"  # the id of the supervisor's own requests; they are left out of the request metrics
# Parameters that are no fields: a request's id, the guard's name for it, and the name or id of one to be cancelled.
ID, TAG, CANCEL = "id", "tag", "cancel"
MAX_TEXT_BYTES = 4 * MAX_TEXT_CHARACTERS  # UTF-8 needs at most 4 bytes a character
Array = npt.NDArray[Any]

DATA_TYPES: dict[Kind, str] = {
    "string": "TYPE_STRING",
    "json": "TYPE_STRING",
    "strings": "TYPE_STRING",
    "int": "TYPE_INT32",
    "float": "TYPE_FP32",
    "bool": "TYPE_BOOL",
    "ints": "TYPE_INT32",
}
NUMPY_TYPES = {"TYPE_INT32": np.int32, "TYPE_INT64": np.int64, "TYPE_FP32": np.float32, "TYPE_BOOL": np.bool_}


@dataclass(frozen=True)
class Tensor:
    """One input or output: its name, Triton's data type and its only dimension, 1 or -1 for any length."""

    name: str
    data_type: str
    length: int = 1


def _input(field: Field) -> Tensor:
    data_type = DATA_TYPES[field.kind]
    if field.kind == "int" and field.high is not None and field.high > INT32_MAX:
        data_type = "TYPE_INT64"
    return Tensor(field.name, data_type, -1 if field.kind in ("strings", "ints") else 1)


COUNTS = (
    "forwards",
    "prefill_forwards",
    "decode_forwards",
    "draft_forwards",
    "denoise_forwards",
    "verify_forwards",
    "commit_forwards",
    "score_forwards",
    "cached_tokens",
    "total_draft_tokens",
    "total_accepted_draft_tokens",
)
RATIOS = ("tokens_per_forward", "tokens_per_cycle", "acceptance_rate")

INPUTS: tuple[Tensor, ...] = tuple(_input(field) for field in FIELDS)
OUTPUTS: tuple[Tensor, ...] = (
    Tensor("text_output", "TYPE_STRING"),
    Tensor("num_input_tokens", "TYPE_INT32"),
    Tensor("num_output_tokens", "TYPE_INT32"),
    Tensor("finish_reason", "TYPE_STRING"),
    Tensor("output_ids", "TYPE_INT32", -1),
    Tensor("output_log_probs", "TYPE_FP32", -1),
    Tensor("cum_log_probs", "TYPE_FP32"),
    Tensor("effective_params", "TYPE_STRING"),
    Tensor("fills", "TYPE_STRING", -1),
    Tensor("infill_candidates", "TYPE_STRING"),
    Tensor("edits", "TYPE_STRING"),
    Tensor("auto", "TYPE_STRING"),
    Tensor("provisional", "TYPE_STRING"),
    *(Tensor(name, "TYPE_INT32") for name in COUNTS),
    *(Tensor(name, "TYPE_FP32") for name in RATIOS),
)


def read_request(inputs: Iterable[tuple[str, Array]], parameters: str) -> dict[str, object]:
    """Return field -> Python value from the input arrays and the request's parameters (a JSON object or "").

    Raises:
        RequestError: text that is not UTF-8 or far too long, a field given both ways. All other checks follow in
            GenerationParams.parse.
    """
    given: dict[str, object] = {name: _python_value(name, array) for name, array in inputs}
    for name, value in _parameters(parameters).items():
        if name in (ID, TAG, CANCEL) or name.startswith("triton_"):  # e.g. triton_enable_empty_final_response
            continue
        if name in given:
            raise RequestError(name, "must be given once, as a tensor or a parameter", value, error_type="given_twice")
        given[name] = value
    return given


def name_of(request_id: str, parameters: str) -> str:
    """Return what a request may be cancelled by: the tag, else its id (a parameter when it came by /generate)."""
    given = _parameters(parameters)
    return str(given.get(TAG) or request_id or given.get(ID, ""))


def cancels(parameters: str) -> str | None:
    """Return the name of the request to be cancelled, when this is the wish to do so and no request."""
    name = _parameters(parameters).get(CANCEL)
    return None if name is None else str(name)


def _parameters(text: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(text) if text else {}
    return found


def _python_value(name: str, array: Array) -> object:
    kind = BY_NAME[name].kind
    flat = array.reshape(-1)
    if kind in ("string", "json"):
        return _decode(name, flat[0])
    if kind == "strings":
        return [_decode(name, item) for item in flat]
    if kind == "ints":
        return flat.tolist()
    if kind == "float":
        return float(str(flat[0]))  # the shortest decimal that rounds to this float32: 0.9, not 0.89999998
    return flat[0].item()


def _decode(name: str, raw: bytes) -> str:
    if len(raw) > MAX_TEXT_BYTES:
        raise RequestError(name, f"must be at most {MAX_TEXT_CHARACTERS} characters", Said(f"{len(raw)} bytes"))
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise RequestError(name, "must be valid UTF-8", raw[:40], error_type="bad_utf8") from exc


def response_arrays(chunk: Chunk, params: GenerationParams, cum_log_probs: float) -> dict[str, Array]:
    """Return output name -> array for one chunk: the text, and what the request's return_* fields ask for.

    Token ids and their log probabilities go with every chunk, the rest with the last one; what fills gaps always does.
    `cum_log_probs` is the sum over every chunk up to this one.
    """
    values: dict[str, Sequence[object]] = {"text_output": [chunk.text]}
    if chunk.provisional is not None:
        values["provisional"] = [json.dumps(asdict(chunk.provisional))]
    watched_only = chunk.provisional is not None and not chunk.token_ids
    if params.return_token_ids and not watched_only:
        values["output_ids"] = chunk.token_ids
    if params.return_log_probs and not watched_only:
        values["output_log_probs"] = chunk.log_probs
    if chunk.last:
        counters = chunk.counters.as_dict()
        if params.return_log_probs:
            values["cum_log_probs"] = [cum_log_probs]
        if params.return_num_input_tokens:
            values["num_input_tokens"] = [chunk.num_input_tokens]
        if params.return_num_output_tokens:
            values["num_output_tokens"] = [chunk.counters.output_tokens]
        if params.return_finish_reason:
            values["finish_reason"] = [chunk.finish_reason or ""]
        if params.return_effective_params:
            values["effective_params"] = [json.dumps(params.echo())]
        if params.task == "infill":
            values["fills"] = chunk.fills
        if params.task == "revise":
            values["edits"] = [json.dumps([asdict(edit) for edit in chunk.edits])]
        if params.return_candidates:
            gaps = [[asdict(candidate) for candidate in gap] for gap in chunk.candidates]
            values["infill_candidates"] = [json.dumps(gaps)]
        if params.return_perf_metrics:
            values.update({name: [counters[name]] for name in (*COUNTS, *RATIOS)})
            if chunk.auto is not None:
                values["auto"] = [json.dumps(asdict(chunk.auto))]
    return {tensor.name: _array(tensor, values[tensor.name]) for tensor in OUTPUTS if tensor.name in values}


def _array(tensor: Tensor, values: Sequence[object]) -> Array:
    if tensor.data_type == "TYPE_STRING":
        return np.array([str(value).encode("utf-8") for value in values], dtype=np.object_)
    return np.array(values, dtype=NUMPY_TYPES[tensor.data_type])


def instance_group(gpus: Sequence[int] = ()) -> str:
    """Return one instance on the CPU's side, or one on each of `gpus`, which are indices as CUDA counts them.

    Source: ModelInstanceGroup of Triton's model_config.proto: `count` is for each GPU of `gpus`.
    """
    if not gpus:
        return "instance_group [ { count: 1, kind: KIND_CPU } ]"
    return f"instance_group [ {{ count: 1, kind: KIND_GPU, gpus: [ {', '.join(map(str, gpus))} ] }} ]"


def config_pbtxt(gpus: Sequence[int] = ()) -> str:
    """Return the text of config.pbtxt, with an instance on each of `gpus` if there are any."""
    lines = [
        "# Written by: python -m trimode.triton.tensors. A test holds it equal to fields.FIELDS.",
        "# Without dynamic_batching: the model batches by itself, and the batcher would stall it for 500 ms at a time.",
        f'name: "{MODEL_NAME}"',
        'backend: "python"',
        "max_batch_size: 0",
        "model_transaction_policy { decoupled: true }",
        instance_group(gpus),
        "input [",
        ",\n".join(_entry(tensor, optional=True) for tensor in INPUTS),
        "]",
        "output [",
        ",\n".join(_entry(tensor, optional=False) for tensor in OUTPUTS),
        "]",
    ]
    return "\n".join(lines) + "\n"


def _entry(tensor: Tensor, *, optional: bool) -> str:
    tail = ", optional: true" if optional else ""
    return f'  {{ name: "{tensor.name}", data_type: {tensor.data_type}, dims: [ {tensor.length} ]{tail} }}'


if __name__ == "__main__":
    print(config_pbtxt([int(gpu) for gpu in sys.argv[1:]]), end="")
