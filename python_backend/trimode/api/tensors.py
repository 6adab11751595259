"""The tensors of the Triton model: names, types, shapes, and what the outputs mean. Inputs are those of fields.FIELDS.

Knows no arrays and nothing of Triton's Python API. `python -m trimode.api.tensors [GPU ...]` prints config.pbtxt.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

from .counters import MEANINGS
from .fields import FIELDS, INT32_MAX, MAX_TEXT_CHARACTERS, Field, Kind

MODEL_NAME = "nemotron_diffusion"
CANARY_TAG = "trimode-canary"  # of the supervisor's own requests; they are left out of the request metrics
MODEL_VERSION = "1"
MODES = "modes"  # a parameter of config.pbtxt, there unless the model has all modes: their names, separated by commas
# Parameters that are no fields: a request's id and, set by the front and by nobody else, the front's own name for the
# request, the name of one to be cancelled, who called, the tokens a minute that the caller may have, the id that lines
# of the log have, and the traceparent of the front's span.
ID, TAG, CANCEL, CALLER, TOKEN_RATE, LOG_ID = "id", "tag", "cancel", "caller", "token_rate", "log_id"
TRACE = "trace"
MAX_ID_CHARACTERS = 128  # several times a UUID; the id is kept and compared for as long as the request runs
MAX_TEXT_BYTES = 4 * MAX_TEXT_CHARACTERS  # UTF-8 needs at most 4 bytes a character

IN_PARTS = ("messages",)
"""Fields that are a JSON list, which may also come as a tensor with one JSON text for each item."""

DATA_TYPES: dict[Kind, str] = {
    "string": "TYPE_STRING",
    "json": "TYPE_STRING",
    "object": "TYPE_STRING",
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


@dataclass(frozen=True)
class Output(Tensor):
    """An output: what it holds, for people, with its unit, and which responses carry it.

    Attributes:
        unit: what a number counts, or "" for a text.
        help: what it holds.
        asked_by: the field of a request that asks for it, or "" if it always comes. A request whose list of outputs
            (gRPC) names it asks for it too.
        every: whether every response carries its part; otherwise only the last response has it.
    """

    unit: str = ""
    help: str = ""
    asked_by: str = ""
    every: bool = False


def _input(field: Field) -> Tensor:
    data_type = DATA_TYPES[field.kind]
    if field.kind == "int" and field.high is not None and field.high > INT32_MAX:
        data_type = "TYPE_INT64"
    return Tensor(field.name, data_type, -1 if field.kind in ("strings", "ints") or field.name in IN_PARTS else 1)


def _counter(name: str, data_type: str) -> Output:
    meaning = MEANINGS[name]
    return Output(name, data_type, unit=meaning.unit, help=meaning.help, asked_by="return_perf_metrics")


COUNTS = (
    *("forwards", "prefill_forwards", "decode_forwards", "draft_forwards", "denoise_forwards", "verify_forwards"),
    *("commit_forwards", "score_forwards", "cached_tokens", "image_tokens"),
    *("total_draft_tokens", "total_accepted_draft_tokens", "max_draft_tokens"),
    *("accepted_prediction_tokens", "rejected_prediction_tokens"),
    *("accepted_prompt_lookup_tokens", "rejected_prompt_lookup_tokens"),
)
"""Outputs that are integers of Counters."""
RATIOS = ("tokens_per_forward", "tokens_per_cycle", "acceptance_rate")

INPUTS: tuple[Tensor, ...] = tuple(_input(field) for field in FIELDS)
OUTPUTS: tuple[Output, ...] = (
    Output(
        "text_output",
        "TYPE_STRING",
        help="Text that became final since the last response; the parts of all responses make the answer. "
        "What fills gaps comes joined, a revised text as a whole.",
        every=True,
    ),
    Output(
        "num_input_tokens",
        "TYPE_INT32",
        unit="tokens",
        help="Tokens of the prompt, those of the chat template included.",
        asked_by="return_num_input_tokens",
    ),
    Output(
        "num_output_tokens",
        "TYPE_INT32",
        unit="tokens",
        help=MEANINGS["output_tokens"].help.partition(";")[0] + ".",
        asked_by="return_num_output_tokens",
    ),
    Output(
        "finish_reason",
        "TYPE_STRING",
        help="`stop` if the answer came to its end, `length` if `max_tokens` ended it.",
    ),
    Output(
        "output_ids",
        "TYPE_INT32",
        -1,
        unit="token ids",
        help="The tokens that the text of this response comes from. For infill, the tokens that were chosen: they may "
        "start before the gap and end after it.",
        asked_by="return_token_ids",
        every=True,
    ),
    Output(
        "output_log_probs",
        "TYPE_FP32",
        -1,
        unit="natural logarithms",
        help="The log-probability of each token of `output_ids`. Of an answer made by diffusion, that with which the "
        "token was chosen, unless `log_probs_kind` is `causal`.",
        asked_by="return_log_probs",
        every=True,
    ),
    Output(
        "cum_log_probs",
        "TYPE_FP32",
        unit="natural logarithm",
        help="The sum of all `output_log_probs`.",
        asked_by="return_log_probs",
    ),
    Output(
        "output_top_ids",
        "TYPE_INT32",
        -1,
        unit="token ids",
        help="The likeliest tokens at the place of each token of `output_ids`, the likeliest first: `top_log_probs` of "
        "them for each.",
        asked_by="top_log_probs",
        every=True,
    ),
    Output(
        "output_top_log_probs",
        "TYPE_FP32",
        -1,
        unit="natural logarithms",
        help="The log-probability of each token of `output_top_ids`.",
        asked_by="top_log_probs",
        every=True,
    ),
    Output(
        "prompt_ids",
        "TYPE_INT32",
        -1,
        unit="token ids",
        help="The tokens of the prompt. The first response has them, with the three outputs below.",
        asked_by="return_prompt_log_probs",
    ),
    Output(
        "prompt_log_probs",
        "TYPE_FP32",
        -1,
        unit="natural logarithms",
        help="The log-probability of each token of `prompt_ids` but the first, given those before it.",
        asked_by="return_prompt_log_probs",
    ),
    Output(
        "prompt_top_ids",
        "TYPE_INT32",
        -1,
        unit="token ids",
        help="The likeliest tokens of the same places, as in `output_top_ids`.",
        asked_by="top_log_probs",
    ),
    Output(
        "prompt_top_log_probs",
        "TYPE_FP32",
        -1,
        unit="natural logarithms",
        help="The log-probability of each token of `prompt_top_ids`.",
        asked_by="top_log_probs",
    ),
    Output(
        "effective_params",
        "TYPE_STRING",
        help="The values that were used, the defaults included, without the prompt: a JSON object.",
        asked_by="return_effective_params",
    ),
    Output("fills", "TYPE_STRING", -1, help="The text that fills each gap, from left to right.", asked_by="segments"),
    Output(
        "infill_candidates",
        "TYPE_STRING",
        help="Every filling that was tried: a JSON list with a list for each gap, of objects with `size` (tokens), "
        "`mode` (that made it), `text` and `score` (mean log-probability of a token, or null).",
        asked_by="return_candidates",
    ),
    Output(
        "edits",
        "TYPE_STRING",
        help="What a revision changed, from left to right: a JSON list of objects with `start` and `end` (code points "
        "of the original text), `before` and `after`.",
        asked_by="text",
    ),
    Output(
        "auto",
        "TYPE_STRING",
        help="What mode auto chose: a JSON object with `cycles` (their number by choice), `expected_ms` and "
        "`expected_tokens` (the time all of them were expected to take and the tokens to give).",
        asked_by="return_perf_metrics",
    ),
    Output(
        "timing",
        "TYPE_STRING",
        help="How long the server took: a JSON object with `queue_time_ms` (until the request got a slot), "
        "`time_to_first_token_ms` (until a pass gave its first tokens) and `mean_itl_ms` (between tokens that came "
        "after that pass), each null where it did not happen. Not there where gaps are filled.",
        asked_by="return_perf_metrics",
    ),
    Output(
        "acceptance_histogram",
        "TYPE_INT32",
        -1,
        unit="verifications",
        help="How many verifications of drafts confirmed 0, 1, 2 … drafted tokens; not there if there was none.",
        asked_by="return_perf_metrics",
    ),
    Output(
        "provisional",
        "TYPE_STRING",
        -1,
        help="The block after each denoising pass of this response: JSON objects with `start` (in tokens of the "
        "answer), `step` (passes over it), `text` (with ░ for masks), `committed` (what of `text_output` was final "
        "since the pass before) and `tokens` (`id`, `text`, `state`, `prob`: its probability when it was chosen).",
        asked_by="stream_provisional",
        every=True,
    ),
    *(_counter(name, "TYPE_INT32") for name in COUNTS),
    *(_counter(name, "TYPE_FP32") for name in RATIOS),
)
"""Every output, in the order of config.pbtxt."""


def instance_group(gpus: Sequence[int] = ()) -> str:
    """Return one instance on the CPU's side, or one on each of `gpus`, which are indices as CUDA counts them.

    Source: ModelInstanceGroup of Triton's model_config.proto: `count` is for each GPU of `gpus`.
    """
    if not gpus:
        return "instance_group [ { count: 1, kind: KIND_CPU } ]"
    return f"instance_group [ {{ count: 1, kind: KIND_GPU, gpus: [ {', '.join(map(str, gpus))} ] }} ]"


def config_pbtxt(gpus: Sequence[int] = (), modes: Sequence[str] = (), name: str = MODEL_NAME) -> str:
    """Return the text of config.pbtxt, with an instance on each of `gpus`, naming `modes`, if there are any."""
    lines = [
        # The old name of this module, byte for byte as it was, for as long as that name works.
        "# Written by: python -m trimode.triton.tensors. A test holds it equal to fields.FIELDS.",
        "# Without dynamic_batching: the model batches by itself, and the batcher would stall it for 500 ms at a time.",
        f'name: "{name}"',
        'backend: "python"',
        "max_batch_size: 0",
        "model_transaction_policy { decoupled: true }",
        instance_group(gpus),
        *([f'parameters {{ key: "{MODES}" value: {{ string_value: "{",".join(modes)}" }} }}'] if modes else []),
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
