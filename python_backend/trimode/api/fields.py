"""The table of a request's fields: their names, kinds, ranges, choices and help.

Tensors, documentation and clients read this table. checks.py holds a value against its row, applicability.py says which
modes and operations have which fields, defaults.py how the fields of one request hang together.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, get_args

from .choice_fields import CHOICE_FIELDS
from .choice_fields import INT32_MAX as INT32_MAX
from .field import Field as Field
from .field import Kind as Kind
from .guide import GUIDE_FIELDS
from .kinds import MAX_INPUT_IDS as MAX_INPUT_IDS
from .kinds import MAX_TEXT_CHARACTERS as MAX_TEXT_CHARACTERS
from .reveals import REVEALS as REVEALS
from .reveals import SHIPPED_REVEALS as SHIPPED_REVEALS
from .rows.drafts import DRAFT_FIELDS
from .rows.images import MOST_MESSAGES_CHARACTERS
from .rows.images import ROWS as IMAGE_ROWS
from .rows.streams import STREAM_FIELDS

ModeName = Literal["auto", "autoregressive", "diffusion", "self_speculation"]
"""The values of Mode, for typed applications."""
AllowedMode = Literal["diffusion"]
"""What auto may choose in addition to modes whose text is exact."""
AcceptRule = Literal["likelihood", "always"]
"""Which changes of a revision stay."""
LogProbsKind = Literal["reveal", "causal"]
"""Which log-probabilities of a diffused answer are returned."""

MAX_BLOCK_LENGTH = 64
MAX_STOP_WORDS = 16
MAX_TOP_LOG_PROBS = 20  # as OpenAI has it
MAX_GAPS = 16
MAX_GAP_TOKENS = 1024
MAX_GAP_SIZES = 16
MAX_STOP_WORD_CHARACTERS = 256
MAX_USER_CHARACTERS = MAX_SALT_CHARACTERS = 128
"""Longest `user`: several times a UUID; it is kept and compared for as long as the request runs."""


class Operation(StrEnum):
    """What a request asks for: a text that follows the prompt, texts for the gaps of one, or a revised text."""

    GENERATE = "generate"
    INFILL = "infill"
    REVISE = "revise"


class Mode(StrEnum):
    """How the tokens of one request are made; AUTO takes whatever is measured to be quickest."""

    AUTO = "auto"
    AUTOREGRESSIVE = "autoregressive"
    DIFFUSION = "diffusion"
    SELF_SPECULATION = "self_speculation"


LOG_PROBS: tuple[LogProbsKind, ...] = get_args(LogProbsKind)
ACCEPTS: tuple[AcceptRule, ...] = get_args(AcceptRule)
ALLOWED: tuple[AllowedMode, ...] = get_args(AllowedMode)


FIELDS: tuple[Field, ...] = (
    Field(
        "text_input",
        "string",
        "",
        "Plain text to continue, without the chat template; for questions use messages. "
        "One of text_input, input_ids, messages, segments, text, no more.",
    ),
    Field("input_ids", "ints", "", "The prompt as token ids.", 0, INT32_MAX),
    Field(
        "messages",
        "json",
        "",
        "The prompt as chat messages, a JSON list of {role, content}. The content is a text, or a list of parts "
        '{"type": "text", "text": ...}, whose texts are joined as they are, and pictures, {"type": "image_url", '
        '"image_url": {"url": ...}}, where the model reads them.',
        most_characters=MOST_MESSAGES_CHARACTERS,
        check="messages",
    ),
    Field(
        "segments",
        "json",
        "",
        'A text with up to 16 gaps, a JSON list of strings and, for each gap, {} or {"infill_tokens": n}.',
        check="segments",
    ),
    Field("text", "string", "", "A text to revise; the answer is the text with what was changed, and the edits."),
    *IMAGE_ROWS,
    Field("enable_thinking", "bool", "false", "With messages: think first; thought and </think> precede the answer."),
    Field(
        "continue_final_message",
        "bool",
        "false",
        "With messages whose last one is the assistant's: true continues it. Otherwise the answer is a new turn after "
        "it. With suffix such a message is always continued.",
    ),
    Field(
        "allow_special_tokens",
        "bool",
        "false",
        "With messages or instruction: true reads special tokens that are written in them as such, so that a text can "
        "end its own turn. Otherwise they are plain text. In other texts special tokens always count.",
    ),
    Field(
        "mode",
        "string",
        "auto",
        "auto, autoregressive, diffusion or self_speculation.",
        choices=tuple(Mode),
        check="mode",
    ),
    Field(
        "auto_allow",
        "strings",
        "none",
        "With auto: what it may choose in addition to exact text: diffusion.",
        choices=ALLOWED,
        check="distinct",
    ),
    Field("max_tokens", "int", "128, gaps 32", "Most tokens to generate, or to fill a gap with.", 1, INT32_MAX),
    Field(
        "stream",
        "bool",
        "false",
        "Send text as it is committed instead of once at the end; infill and revise always answer once, at the end.",
    ),
    *STREAM_FIELDS,
    Field(
        "stop_words",
        "strings",
        "none",
        "Generation ends before the first of these texts.",
        empty_is_none=True,
        check="stop_words",
    ),
    Field("end_id", "int", "the model's", "Token that ends the answer; -1 for none.", -1, INT32_MAX),
    *CHOICE_FIELDS,
    *GUIDE_FIELDS,
    Field(
        "effort", "float", "none", "From 0, cheap, to 1, careful: sets diffusion's knobs by a measured table.", 0.0, 1.0
    ),
    Field(
        "block_length",
        "int",
        "the model's",
        "Tokens drafted in parallel; with auto, the maximum. Values above the model's own lower quality.",
        1,
        MAX_BLOCK_LENGTH,
    ),
    Field(
        "denoise_steps",
        "int",
        "block_length",
        "Upper bound on the passes that refine one block, its revisions included, or a window of a text.",
        1,
        64,
    ),
    Field("threshold", "float", "0.9, drafts 0", "Probability from which a token is kept at once.", 0.0, 1.0),
    Field(
        "reveal",
        "string",
        "threshold",
        "Which masked positions a pass keeps: " + ", ".join(REVEALS) + ".",
        choices=REVEALS,
        more_choices=True,
    ),
    Field("suffix", "string", "none", "The text after a gap: the answer is what belongs between the prompt and it."),
    Field(
        "infill_tokens",
        "int",
        "searched",
        "Size of the gap: tokens of the text that fills it, tokenized by itself. "
        "A filling of exactly this size is preferred.",
        1,
        MAX_GAP_TOKENS,
    ),
    Field(
        "infill_lengths",
        "ints",
        "searched",
        "Up to 16 sizes of the gap to try, as infill_tokens; the likeliest text wins.",
        1,
        MAX_GAP_TOKENS,
        check="gap_sizes",
    ),
    Field(
        "return_candidates", "bool", "false", "Return infill_candidates: every filling tried, its text and its score."
    ),
    Field(
        "instruction",
        "string",
        "none",
        "With text or gaps: the question that the text answers; a chat message in front of it.",
    ),
    Field(
        "spans",
        "json",
        "all of text",
        "Parts of text to reconsider, a JSON list of [start, end] in code points.",
        check="spans",
    ),
    Field("revise_threshold", "float", "-2", "Reconsider tokens of a causal log-probability below this.", -1000.0, 0.0),
    Field(
        "revise_fraction", "float", "none", "Reconsider this share of the tokens instead, the least likely.", 0.0, 1.0
    ),
    Field(
        "revise_rounds",
        "int",
        "text 2, else 0",
        "Most times the text is revised, or each block generated while it has denoise_steps left.",
        0,
        16,
    ),
    Field(
        "accept",
        "string",
        "likelihood",
        "likelihood keeps a change only if its block becomes likelier; always keeps every change.",
        choices=ACCEPTS,
    ),
    *DRAFT_FIELDS,
    Field("temperature", "float", "0", "0 picks the most likely token, above it samples.", 0.0, 100.0),
    Field("top_k", "int", "0", "Sample among the k most likely tokens; 0 for all.", 0, INT32_MAX),
    Field("top_p", "float", "1", "Sample among the most likely tokens that hold this much probability.", 0.0, 1.0),
    Field("min_p", "float", "0", "Drop tokens less likely than this share of the most likely one.", 0.0, 1.0),
    Field("seed", "int", "random", "Same seed, same request: same text, whatever else runs. INT64.", 0, 2**63 - 1),
    Field("repetition_penalty", "float", "1", "Above 1 makes tokens already seen less likely.", 0.01, 100.0),
    Field("presence_penalty", "float", "0", "Taken off tokens already generated.", -2.0, 2.0),
    Field("frequency_penalty", "float", "0", "Taken off tokens for each time they were generated.", -2.0, 2.0),
    Field("max_thinking_tokens", "int", "none", "Tokens after which the end of thinking is forced.", 0, INT32_MAX),
    Field("end_think_token_id", "int", "the tokenizer's </think>", "The token that ends thinking.", 0, INT32_MAX),
    Field("timeout_ms", "int", "none", "Time the request may take, queueing included.", 1, INT32_MAX),
    Field(
        "priority",
        "int",
        "0",
        "Of the waiting requests of one caller the lowest goes first; other callers' turns do not depend on it.",
        -INT32_MAX - 1,
        INT32_MAX,
    ),
    Field(
        "user", "string", "none", "Whom it is for: users of one caller take turns.", most_characters=MAX_USER_CHARACTERS
    ),
    Field(
        "cache_salt",
        "string",
        "none",
        "What is cached of a prompt serves requests with the same salt alone, so that no one else can time it.",
        most_characters=MAX_SALT_CHARACTERS,
        empty_is_none=True,
    ),
    Field("exclude_input_in_output", "bool", "true", "false puts the prompt's text in front of the answer."),
    Field("return_log_probs", "bool", "false", "Return output_log_probs and cum_log_probs, of output_ids."),
    Field(
        "log_probs_kind",
        "string",
        "reveal",
        "With return_log_probs, in diffusion: reveal returns the log-probability with which a token was chosen, given "
        "what was known of its block then. causal returns that of the token after those before it, as other modes do; "
        "it costs a scoring pass for the last block.",
        choices=LOG_PROBS,
    ),
    Field("top_log_probs", "int", "0", "Likeliest tokens that come with each log-probability.", 0, MAX_TOP_LOG_PROBS),
    Field(
        "return_prompt_log_probs",
        "bool",
        "false",
        "Return prompt_ids, and prompt_log_probs of every token of the prompt but the first. The prefix cache is not "
        "used then.",
    ),
    Field(
        "return_token_ids",
        "bool",
        "false",
        "Return output_ids; for infill, the tokens chosen, which may start before the gap and end after it.",
    ),
    Field("return_num_input_tokens", "bool", "false", "Return num_input_tokens."),
    Field("return_num_output_tokens", "bool", "false", "Return num_output_tokens."),
    Field(
        "return_finish_reason",
        "bool",
        "false",
        "Has no effect: the last response always has finish_reason, stop or length.",
    ),
    Field("return_perf_metrics", "bool", "false", "Return the counters of forwards, drafts and acceptance."),
    Field("return_effective_params", "bool", "false", "Return effective_params, the values used, as JSON."),
)
BY_NAME = {field.name: field for field in FIELDS}
PROMPT_FIELDS = ("text_input", "input_ids", "messages", "segments", "text")
