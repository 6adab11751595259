"""GenerationParams: one request's effective values, in groups, of which each room uses some.

The fields, their ranges and their meaning are in fields.py; their defaults are in defaults.py. Knows nothing of
tensors, tokenizers or engines.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

from .applicability import FIELDS_OF_MODES, NOT_OF_OPERATIONS, REVISING, fields_of_others, operation_of
from .block_defaults import DEFAULT_THRESHOLD
from .checks import check_field
from .defaults import Defaults, resolve
from .fields import PROMPT_FIELDS, Mode, Operation
from .guide import GuideScope, GuideType
from .rows.images import DEFAULT_MAX_IMAGE_SIZE, IMAGE_FIELDS, ImageSource, sources_of, without_files
from .rows.returns import ReturnOptions


@dataclass(frozen=True)
class PromptParams:
    """The prompt, in one of the forms that PROMPT_FIELDS lists; `suffix` is the text after a gap."""

    text_input: str | None = None
    input_ids: tuple[int, ...] | None = None
    messages: tuple[Mapping[str, Any], ...] | None = None
    segments: tuple[str | int | None, ...] | None = None
    text: str | None = None
    suffix: str | None = None
    instruction: str | None = None
    enable_thinking: bool = False
    continue_final_message: bool = False
    allow_special_tokens: bool = False
    image_bytes_input: tuple[str, ...] = ()
    image_url_input: tuple[str, ...] = ()
    max_image_size: int = DEFAULT_MAX_IMAGE_SIZE

    @cached_property
    def images(self) -> tuple[ImageSource, ...]:
        """The pictures, in the order in which they stand in the prompt."""
        return sources_of(vars(self))

    def without_files(self) -> PromptParams:
        """Return the prompt with its pictures in their places, and none of their data."""
        bytes_, urls = len(self.image_bytes_input), len(self.image_url_input)
        messages = None if self.messages is None else tuple(without_files(one) for one in self.messages)
        return replace(self, messages=messages, image_bytes_input=("",) * bytes_, image_url_input=("",) * urls)

    @property
    def field(self) -> str:
        """The field that holds the prompt."""
        return next(name for name in PROMPT_FIELDS if getattr(self, name) is not None)


@dataclass(frozen=True)
class SamplingParams:
    """How a token is taken from its distribution."""

    seed: int
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0

    @cached_property
    def greedy(self) -> bool:
        """Whether the most likely token is always taken."""
        return self.temperature == 0.0

    @cached_property
    def penalised(self) -> bool:
        """Whether a token's score depends on the tokens before it."""
        return (self.repetition_penalty, self.presence_penalty, self.frequency_penalty) != (1.0, 0.0, 0.0)

    @cached_property
    def plain(self) -> bool:
        """Whether a token is simply the most likely one, whatever came before it."""
        return self.greedy and not self.penalised


@dataclass(frozen=True)
class ChoiceParams:
    """Which tokens may be chosen, and which end the answer; the rules of decoding/rules/ are made of it."""

    bad_words: tuple[str, ...] = ()
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    allowed_token_ids: tuple[int, ...] = ()
    bad_token_ids: tuple[int, ...] = ()
    min_tokens: int = 0
    min_length: int | None = None
    stop_token_ids: tuple[int, ...] = ()


@dataclass(frozen=True)
class GuideParams:
    """What the answer must match; decoding/guide.py is made of it."""

    guided_decoding_guide_type: GuideType | None = None
    guided_decoding_guide: str = ""
    guided_decoding_scope: GuideScope | None = None
    disable_any_whitespace: bool = False


@dataclass(frozen=True)
class BlockParams:
    """How a block is refined, or drafted. Without a `threshold` the steps alone decide what a pass keeps.

    `speculation` says how a draft is verified: linear, in a pass of its own, or quadratic, in the one that drafts.
    `prediction` and `prompt_lookup` ask for drafts that no pass makes.
    """

    block_length: int
    denoise_steps: int
    threshold: float | None
    reveal: str
    draft_adapter: bool = False
    speculation: str = "linear"
    prediction: str = ""
    prompt_lookup: bool = False


@dataclass(frozen=True)
class InfillParams:
    """How large a gap is: one size, several to try, or neither, and sizes are searched."""

    infill_tokens: int | None = None
    infill_lengths: tuple[int, ...] = ()

    @property
    def sizes(self) -> tuple[int, ...]:
        """The sizes to try; empty if they are searched."""
        return self.infill_lengths or ((self.infill_tokens,) if self.infill_tokens else ())


@dataclass(frozen=True)
class ReviseParams:
    """Which tokens of a text, or of each block, are reconsidered, how often, and which changes are kept."""

    spans: tuple[tuple[int, int], ...] = ()
    revise_threshold: float | None = None
    revise_fraction: float | None = None
    revise_rounds: int = 0
    accept: str = "likelihood"


GROUPS: dict[str, type[Any]] = {
    "prompt": PromptParams,
    "sampling": SamplingParams,
    "choice": ChoiceParams,
    "guide": GuideParams,
    "block": BlockParams,
    "infill": InfillParams,
    "revise": ReviseParams,
    "returns": ReturnOptions,
}
"""The groups of GenerationParams. Their fields have the same names as on the wire."""
NAMES = {name: tuple(field.name for field in fields(kind)) for name, kind in GROUPS.items()}
"""Those names, by group: asking a class for its fields takes longer than all else that reads a request."""


@dataclass(frozen=True)
class GenerationParams:
    """One request's effective values; build it with `parse`. Meanings are in FIELDS.

    `reference` follows the released loops to the letter where served decoding departs from them (parity tests only):
    the mask id may be chosen, every diffusion block is committed, and a first EOS does not end diffusion early.
    """

    mode: Mode
    max_tokens: int
    end_id: int
    prompt: PromptParams
    sampling: SamplingParams
    block: BlockParams
    choice: ChoiceParams = ChoiceParams()
    guide: GuideParams = GuideParams()
    infill: InfillParams = InfillParams()
    revise: ReviseParams = ReviseParams()
    returns: ReturnOptions = field(default_factory=ReturnOptions)
    auto_allow: tuple[str, ...] = ()
    effort: float | None = None
    stop_words: tuple[str, ...] = ()
    max_thinking_tokens: int | None = None
    end_think_token_id: int | None = None
    timeout_ms: int | None = None
    priority: int = 0
    user: str = ""
    cache_salt: str = ""
    reference: bool = False

    @classmethod
    def parse(cls, given: Mapping[str, object], defaults: Defaults, *, reference: bool = False) -> GenerationParams:
        """Check `given` (name -> Python value) against FIELDS and fill in the defaults.

        Raises:
            RequestError: unknown field, wrong type, out of range, or a knob that the chosen mode does not have.
        """
        checked = {name: check_field(name, value) for name, value in given.items()}
        values = resolve({name: value for name, value in checked.items() if value is not None}, defaults)
        groups = {name: _take(name, values) for name in GROUPS}
        return cls(**groups, **values, reference=reference)

    @cached_property
    def operation(self) -> Operation:
        """What the request asks for."""
        return operation_of([name for name, value in vars(self.prompt).items() if value is not None])

    @cached_property
    def kind(self) -> str:
        """The label of its metrics: its operation, or the mode in which it generates."""
        return str(self.mode if self.operation is Operation.GENERATE else self.operation)

    @cached_property
    def end_ids(self) -> tuple[int, ...]:
        """The tokens that end the answer: end_id, unless the model has none, and stop_token_ids."""
        return tuple(token for token in (self.end_id, *self.choice.stop_token_ids) if token >= 0)

    def is_end(self, token: int) -> bool:
        """Whether a token ends the answer."""
        return token == self.end_id or token in self.choice.stop_token_ids

    def diffusing(self) -> GenerationParams:
        """Return an `auto` request as diffusion decodes it: the same, with that mode's defaults."""
        block = replace(self.block, threshold=DEFAULT_THRESHOLD, draft_adapter=False)
        return replace(self, mode=Mode.DIFFUSION, block=block)

    def echo(self) -> dict[str, Any]:
        """Return the effective values as JSON-ready data, without the prompt and what the mode does not have.

        `segments` keeps its gaps and leaves out the texts around them.
        """
        left_out = {name for name, modes in FIELDS_OF_MODES.items() if self.mode not in modes}
        left_out |= {*NOT_ECHOED, *fields_of_others(self.operation)}
        left_out |= set(NOT_OF_OPERATIONS.get(self.operation, ()))
        left_out |= set(() if self.revise.revise_rounds else REVISING)
        left_out |= set() if self.prompt.images else {"max_image_size"}
        values = self._flat()
        echo = {name: values[name] for name in ECHO_ORDER if name not in left_out}
        if self.prompt.segments is not None:
            gaps = [item for item in self.prompt.segments if not isinstance(item, str)]
            echo["segments"] = [{} if size is None else {"infill_tokens": size} for size in gaps]
        return echo

    def _flat(self) -> dict[str, Any]:
        """Return every value by its name on the wire."""
        own = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in GROUPS}
        for name, kind in GROUPS.items():
            own |= {field.name: getattr(getattr(self, name), field.name) for field in fields(kind)}
        return own


NOT_ECHOED = (*PROMPT_FIELDS, *IMAGE_FIELDS, "suffix", "instruction", "prediction", "min_length", "cache_salt")
"""Fields of which `effective_params` says nothing, but for the gaps of `segments`: texts, a second name, a secret."""
ECHO_ORDER = (
    *("mode", "max_tokens", "end_id", "block_length", "denoise_steps", "threshold", "reveal", "seed", "auto_allow"),
    *("speculation", "prediction", "prompt_lookup"),
    *("text_input", "input_ids", "messages", "segments", "suffix", "infill_tokens", "infill_lengths"),
    *("return_candidates", "text", "instruction", "spans", "revise_threshold", "revise_fraction", "revise_rounds"),
    *("accept", "effort", "enable_thinking", "continue_final_message", "allow_special_tokens"),
    *(*IMAGE_FIELDS, "max_image_size"),
    *("stream", "stream_provisional", "stop_words", "bad_words", "draft_adapter"),
    *("logit_bias", "allowed_token_ids", "bad_token_ids", "min_tokens", "min_length", "stop_token_ids"),
    *("include_stop_str_in_output", "skip_special_tokens", "guided_decoding_guide_type", "guided_decoding_guide"),
    *("guided_decoding_scope", "disable_any_whitespace"),
    *("temperature", "top_k", "top_p", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty"),
    *("max_thinking_tokens", "end_think_token_id", "timeout_ms", "priority", "user", "cache_salt"),
    *("exclude_input_in_output", "return_log_probs", "log_probs_kind", "top_log_probs", "return_prompt_log_probs"),
    *("return_token_ids", "return_num_input_tokens", "return_num_output_tokens", "return_finish_reason"),
    *("return_perf_metrics", "return_effective_params", "stream_interval", "stream_interval_ms"),
)
"""The order of `effective_params` on the wire. It has every field of the table."""


def _take(group: str, values: dict[str, Any]) -> Any:
    """Build a group from the values that it has fields for, and take them out of `values`."""
    return GROUPS[group](**{name: values.pop(name) for name in NAMES[group] if name in values})
