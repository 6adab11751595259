"""Between Triton's arrays and Python values: a request's inputs to fields, a chunk to outputs.

Names, types and shapes are in api/tensors.py. Knows nothing of Triton's Python API.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from ..api.answer import Chunk, Top
from ..api.applicability import NOT_OF_OPERATIONS, fields_of_others, operation_of
from ..api.fields import BY_NAME, MAX_TEXT_CHARACTERS, Operation
from ..api.params import GenerationParams
from ..api.tensors import (
    CALLER,
    CANCEL,
    COUNTS,
    ID,
    IN_PARTS,
    LOG_ID,
    MAX_TEXT_BYTES,
    OUTPUTS,
    RATIOS,
    TAG,
    TOKEN_RATE,
    TRACE,
    Tensor,
)
from ..errors import Described, RequestError

Array = npt.NDArray[Any]
NUMPY_TYPES = {"TYPE_INT32": np.int32, "TYPE_INT64": np.int64, "TYPE_FP32": np.float32, "TYPE_BOOL": np.bool_}


def read_request(inputs: Iterable[tuple[str, Array]], parameters: str) -> dict[str, object]:
    """Return field -> Python value from the input arrays and the request's parameters (a JSON object or "").

    Raises:
        RequestError: text that is not UTF-8 or far too long, a field given both ways. All other checks follow in
            GenerationParams.parse.
    """
    given: dict[str, object] = {name: _python_value(name, array) for name, array in inputs}
    for name, value in _parameters(parameters).items():
        # e.g. triton_enable_empty_final_response
        if name in (ID, TAG, CANCEL, CALLER, TOKEN_RATE, LOG_ID, TRACE) or name.startswith("triton_"):
            continue
        if name in given:
            raise RequestError(name, "must be given once, as a tensor or a parameter", value, error_type="given_twice")
        given[name] = value
    return given


def ask_for_outputs(given: dict[str, object], names: Collection[str]) -> None:
    """Add the fields that ask for the outputs `names`, which a request names by Triton's own means.

    A field that the request gives stays as it is, and one that its operation does not have is not added. A request that
    names no outputs comes with the names of all, and asks for none by that.
    """
    if set(names) >= {output.name for output in OUTPUTS}:
        return
    operation = operation_of([name for name, value in given.items() if value is not None])
    foreign = {*fields_of_others(operation), *NOT_OF_OPERATIONS.get(operation, ())}
    for output in OUTPUTS:
        if output.name in names and output.asked_by.startswith("return_") and output.asked_by not in foreign:
            given.setdefault(output.asked_by, True)


def tag_of(parameters: str) -> str:
    """Return the front's own name for a request, by which it is cancelled; "" if it did not come by the front."""
    return str(_parameters(parameters).get(TAG, ""))


def caller_of(parameters: str) -> str:
    """Return who sent a request, as the front says; "" if it did not come by the front."""
    return str(_parameters(parameters).get(CALLER, ""))


def log_id_of(parameters: str) -> str:
    """Return what lines of the log name a request by; "" if it did not come by the front."""
    return str(_parameters(parameters).get(LOG_ID, ""))


def trace_of(parameters: str) -> str:
    """Return the traceparent of the front's span, "" if it has none."""
    return str(_parameters(parameters).get(TRACE, ""))


def token_rate_of(parameters: str) -> int | None:
    """Return the tokens a minute that a request's caller may have, None for any number."""
    found = _parameters(parameters).get(TOKEN_RATE)
    return None if found is None else int(str(found))


def cancel_target(parameters: str) -> str | None:
    """Return the name of the request to cancel; None if the parameters are those of a request to answer."""
    name = _parameters(parameters).get(CANCEL)
    return None if name is None else str(name)


def _parameters(text: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(text) if text else {}
    return found


def _python_value(name: str, array: Array) -> object:
    kind = BY_NAME[name].kind
    flat = array.reshape(-1)
    if name in IN_PARTS and (flat.size != 1 or flat[0].lstrip().startswith(b"{")):
        return [_decode(name, item) for item in flat]
    if kind in ("string", "json", "object"):
        return _decode(name, flat[0])
    if kind == "strings":
        return [_decode(name, item) for item in flat]
    if kind == "ints":
        return flat.tolist()
    if kind == "float":
        return float(str(flat[0]))  # the shortest decimal that rounds to this float32: 0.9, not 0.89999998
    return flat[0].item()


def _decode(name: str, raw: bytes) -> str:
    most = max(MAX_TEXT_BYTES, BY_NAME[name].most_characters or 0)  # pictures are ASCII
    if len(raw) > most:
        limit = f"must be at most {max(MAX_TEXT_CHARACTERS, BY_NAME[name].most_characters or 0)} characters"
        raise RequestError(name, limit, Described(f"{len(raw)} bytes"))
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise RequestError(name, "must be valid UTF-8", raw[:40], error_type="bad_utf8") from exc


def response_arrays(chunk: Chunk, params: GenerationParams, cum_log_probs: float) -> dict[str, Array]:
    """Return output name -> array for one chunk: the text, and what the request's return_* fields ask for.

    Token ids and their log probabilities go with every chunk, the rest with the last one. Why the answer ends, and what
    fills gaps, always does.
    `cum_log_probs` is the sum over every chunk up to this one.
    """
    values: dict[str, Sequence[object]] = {"text_output": [chunk.text]}
    if chunk.passes:
        values["provisional"] = [block.as_json for block in chunk.passes]
    watched_only = bool(chunk.passes) and not chunk.token_ids
    if params.returns.return_token_ids and not watched_only:
        values["output_ids"] = chunk.token_ids
    if params.returns.return_log_probs and not watched_only:
        values["output_log_probs"] = chunk.log_probs
    if params.returns.top_log_probs and params.returns.return_log_probs and not watched_only:
        values["output_top_ids"], values["output_top_log_probs"] = _flat(chunk.top)
    if chunk.prompt is not None:
        values["prompt_ids"], values["prompt_log_probs"] = chunk.prompt.ids, chunk.prompt.log_probs
        if params.returns.top_log_probs:
            values["prompt_top_ids"], values["prompt_top_log_probs"] = _flat(chunk.prompt.top)
    if chunk.last:
        counters = chunk.counters.as_dict()
        values["finish_reason"] = [chunk.finish_reason or ""]
        if params.returns.return_log_probs:
            values["cum_log_probs"] = [cum_log_probs]
        if params.returns.return_num_input_tokens:
            values["num_input_tokens"] = [chunk.num_input_tokens]
        if params.returns.return_num_output_tokens:
            values["num_output_tokens"] = [chunk.counters.output_tokens]
        if params.returns.return_effective_params:
            values["effective_params"] = [json.dumps(params.echo())]
        if params.operation is Operation.INFILL:
            values["fills"] = chunk.fills
        if params.operation is Operation.REVISE:
            values["edits"] = [json.dumps([asdict(edit) for edit in chunk.edits])]
        if params.returns.return_candidates:
            gaps = [[asdict(candidate) for candidate in gap] for gap in chunk.candidates]
            values["infill_candidates"] = [json.dumps(gaps)]
        if params.returns.return_perf_metrics:
            values.update({name: [counters[name]] for name in (*COUNTS, *RATIOS)})
            if chunk.counters.acceptance:
                values["acceptance_histogram"] = chunk.counters.acceptance
            if chunk.timing is not None:
                values["timing"] = [chunk.timing.as_json()]
            if chunk.auto is not None:
                values["auto"] = [json.dumps(asdict(chunk.auto))]
    return {tensor.name: _array(tensor, values[tensor.name]) for tensor in OUTPUTS if tensor.name in values}


def _flat(top: Sequence[Top]) -> tuple[list[int], list[float]]:
    """Return the likeliest tokens of all places one after the other, and their log-probabilities."""
    return [one for ids, _ in top for one in ids], [value for _, values in top for value in values]


def _array(tensor: Tensor, values: Sequence[object]) -> Array:
    if tensor.data_type == "TYPE_STRING":
        return np.array([str(value).encode("utf-8") for value in values], dtype=np.object_)
    return np.array(values, dtype=NUMPY_TYPES[tensor.data_type])
