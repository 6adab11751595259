"""The tensors of the Triton model: names, types and shapes. Inputs are those of fields.FIELDS, counts of Counters.

Knows no arrays and nothing of Triton's Python API. `python -m trimode.api.tensors [GPU ...]` prints config.pbtxt.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

from .fields import FIELDS, INT32_MAX, MAX_TEXT_CHARACTERS, Field, Kind

MODEL_NAME = "nemotron_diffusion"
CANARY_ID = "trimode-canary"  # the id of the supervisor's own requests; they are left out of the request metrics
# Parameters that are no fields: a request's id, the guard's name for it, and the name or id of one to be cancelled.
ID, TAG, CANCEL = "id", "tag", "cancel"
MAX_TEXT_BYTES = 4 * MAX_TEXT_CHARACTERS  # UTF-8 needs at most 4 bytes a character

DATA_TYPES: dict[Kind, str] = {
    "string": "TYPE_STRING",
    "json": "TYPE_STRING",
    "strings": "TYPE_STRING",
    "int": "TYPE_INT32",
    "float": "TYPE_FP32",
    "bool": "TYPE_BOOL",
    "ints": "TYPE_INT32",
}


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
        # The old name of this module, byte for byte as it was, for as long as that name works.
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
    parser = argparse.ArgumentParser(prog="python -m trimode.api.tensors", description="Print config.pbtxt.")
    parser.add_argument("gpus", nargs="*", type=int, metavar="GPU", help="place an instance on each of these")
    print(config_pbtxt(parser.parse_args().gpus), end="")
