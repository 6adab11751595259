"""Which modes and which operations have which fields. Knows nothing of values."""

from __future__ import annotations

from collections.abc import Container

from .fields import Mode, Operation
from .rows.drafts import FREE
from .rows.streams import NAMES as INTERVALS

_IN_BLOCKS = (Mode.DIFFUSION, Mode.SELF_SPECULATION)
FIELDS_OF_MODES: dict[str, tuple[Mode, ...]] = {
    "auto_allow": (Mode.AUTO,),
    "block_length": (*_IN_BLOCKS, Mode.AUTO),
    "denoise_steps": _IN_BLOCKS,
    "threshold": _IN_BLOCKS,
    "reveal": _IN_BLOCKS,
    "draft_adapter": (Mode.SELF_SPECULATION, Mode.AUTO),
    "speculation": (Mode.SELF_SPECULATION,),
    **dict.fromkeys(FREE, (Mode.AUTOREGRESSIVE, Mode.SELF_SPECULATION, Mode.AUTO)),
    "effort": (Mode.DIFFUSION,),
    "log_probs_kind": (Mode.DIFFUSION, Mode.AUTO),
    "stream_provisional": (*_IN_BLOCKS, Mode.AUTO),
    **dict.fromkeys(("revise_threshold", "revise_fraction", "revise_rounds", "accept"), (Mode.DIFFUSION,)),
}
"""Fields that not every mode has, and the modes that have them."""


FIELDS_OF_OPERATIONS: dict[Operation, tuple[str, ...]] = {
    Operation.INFILL: (
        *("suffix", "segments", "infill_tokens", "infill_lengths", "return_candidates", "instruction"),
        "guided_decoding_scope",
    ),
    Operation.REVISE: ("text", "instruction", "spans"),
}
"""Fields that only one operation has; a request that gives one asks for that operation."""
_OF_GENERATION = (
    *("input_ids", "stop_words", "end_id", "repetition_penalty", "presence_penalty", "frequency_penalty"),
    *("min_tokens", "min_length", "stop_token_ids", "include_stop_str_in_output", "skip_special_tokens"),
    *("max_thinking_tokens", "end_think_token_id", "enable_thinking", "continue_final_message", "log_probs_kind"),
    *("top_log_probs", "return_prompt_log_probs"),
    *INTERVALS,
    *FREE,
)
REVISING = ("revise_threshold", "revise_fraction", "accept")
"""Fields that say how something is revised; they need revise_rounds above 0."""
NOT_OF_OPERATIONS: dict[Operation, tuple[str, ...]] = {
    Operation.INFILL: (
        *_OF_GENERATION,
        *REVISING,
        "revise_rounds",
        "stream_provisional",
    ),
    Operation.REVISE: (
        *_OF_GENERATION,
        "stream_provisional",
        "max_tokens",
        "return_log_probs",
        "exclude_input_in_output",
    ),
}
"""Fields of generation that another operation does not have."""


def operation_of(given: Container[str]) -> Operation:
    """Return what a request with these fields asks for."""
    if "text" in given:
        return Operation.REVISE
    return Operation.INFILL if "suffix" in given or "segments" in given else Operation.GENERATE


def fields_of_others(operation: Operation) -> tuple[str, ...]:
    """Return the fields that only operations other than `operation` have."""
    own = FIELDS_OF_OPERATIONS.get(operation, ())
    return tuple(name for names in FIELDS_OF_OPERATIONS.values() for name in names if name not in own)
