"""The one table of what each endpoint does with each field: served, passed on, accepted without effect, or refused.

The guide's page is made from it. fields.py applies it; what a served field does is in the endpoint's own file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from ....api.fields import BY_NAME, INT32_MAX, MAX_STOP_WORD_CHARACTERS, MAX_STOP_WORDS, MAX_TOP_LOG_PROBS
from ....api.rows.images import IMAGE_FIELDS
from .kinds import Check, boolean, integer, listing, mapping, number, one_of, short_text, text, texts

Endpoint = Literal["chat", "completions", "fim", "responses", "messages"]
Treatment = Literal["served", "passed on", "without effect", "refused"]

MAX_CHOICES = 128
"""Most answers to one request: prompts times n or best_of. OpenAI's limit of n."""
MAX_CUTS = 64
"""Most stop strings of a gap, which the front cuts at: editors send the special tokens of several models."""
MAX_TEMPERATURE = 2.0  # OpenAI's; generate takes up to 100
MAX_TEXT_LOGPROBS = 5  # likeliest tokens of a completion's places; OpenAI's limit
MAX_METADATA = 64  # entries; OpenAI's limit is 16, some clients send more
ANY_INTEGER = integer(-(2**63), 2**63 - 1)

CHAT: tuple[Endpoint, ...] = ("chat",)
COMPLETIONS: tuple[Endpoint, ...] = ("completions",)
FIM: tuple[Endpoint, ...] = ("fim",)
RESPONSES: tuple[Endpoint, ...] = ("responses",)
MESSAGES: tuple[Endpoint, ...] = ("messages",)
CHOICES: tuple[Endpoint, ...] = ("chat", "completions")
CALLING: tuple[Endpoint, ...] = ("chat", "responses", "messages")
OPENAI: tuple[Endpoint, ...] = ("chat", "completions", "fim")
ALL: tuple[Endpoint, ...] = ("chat", "completions", "fim", "responses", "messages")


@dataclass(frozen=True)
class Row:
    """What some endpoints do with one field.

    Attributes:
        text: what it does, or why it is refused, for people.
        check: of a value that is served; None where the endpoint checks it itself.
        neutral: JSON values of a refused field that are accepted, because they ask for nothing.
    """

    name: str
    endpoints: tuple[Endpoint, ...]
    treatment: Treatment
    text: str
    check: Check | None = None
    neutral: tuple[Any, ...] = ()


def _served(name: str, endpoints: tuple[Endpoint, ...], text: str, check: Check | None = None) -> Row:
    return Row(name, endpoints, "served", text, check)


def _ignored(text: str, endpoints: tuple[Endpoint, ...], *names: str) -> tuple[Row, ...]:
    return tuple(Row(name, endpoints, "without effect", text) for name in names)


def _refused(name: str, endpoints: tuple[Endpoint, ...], text: str, *neutral: Any) -> Row:
    return Row(name, endpoints, "refused", text, neutral=neutral)


STOPS = texts(MAX_STOP_WORDS, MAX_STOP_WORD_CHARACTERS)
CUTS = texts(MAX_CUTS, MAX_STOP_WORD_CHARACTERS)
TOKENS = integer(0, INT32_MAX)
_SERVED = (
    _served("model", ALL, "A served name, with `:MODE` for a mode; the first one if it is left out.", short_text),
    _served("messages", ("chat", "messages"), "Texts of the roles system, developer, user and assistant, calls, "
            "and their results. A user's message may hold pictures, where the model reads them."),
    _served("system", MESSAGES, "The system message: a text, or text blocks."),
    _served("prompt", COMPLETIONS, "A text, token ids, or a list of texts and of lists of ids."),
    _served("prompt", FIM, "The text before the gap.", text),
    _served("suffix", ("completions", "fim"), "The text after a gap to fill; an empty one counts as none.", text),
    _served("input", RESPONSES, "A text, or a list of messages with texts and pictures, of calls and of their "
            "results."),
    _served("instructions", RESPONSES, "The system message.", text),
    _served("max_tokens", OPENAI, "Most tokens of the answer; without it, what the context leaves.", TOKENS),
    _served("max_tokens", MESSAGES, "Most tokens of the answer. Required.", integer(1, INT32_MAX)),
    _served("max_completion_tokens", ("chat", "fim"), "As `max_tokens`, and goes before it.", integer(1, INT32_MAX)),
    _served("max_output_tokens", RESPONSES, "Most tokens of the answer.", integer(1, INT32_MAX)),
    _served("temperature", ALL, "0 picks the most likely token.", number(0.0, MAX_TEMPERATURE)),
    _served("top_p", ALL, "Sample among the most likely tokens that hold this much.", number(0.0, 1.0)),
    _served("top_k", ALL, "Sample among the k most likely tokens; 0 or -1 for all.", integer(-1, INT32_MAX)),
    _served("seed", ALL, "Same seed, same request: same text. Of several answers the next ones take the next.",
            ANY_INTEGER),
    _served("random_seed", FIM, "As `seed`.", ANY_INTEGER),
    _served("stop", OPENAI, "A text or several; the answer ends before the first of them.", CUTS),
    _served("stop_words", OPENAI, "As `stop`.", CUTS),
    _served("stop_sequences", MESSAGES, "The answer ends before the first of these texts.", STOPS),
    _served("presence_penalty", OPENAI, "Taken off tokens already generated.", number(-2.0, 2.0)),
    _served("frequency_penalty", OPENAI, "Taken off tokens for each time they were generated.", number(-2.0, 2.0)),
    _served("n", CHOICES, "Answers to each prompt.", integer(1, MAX_CHOICES)),
    _served("best_of", COMPLETIONS, "Generates so many and returns the `n` likeliest a token; not with `stream`.",
            integer(1, MAX_CHOICES)),
    _served("echo", COMPLETIONS, "Puts the prompt in front of the answer, its `logprobs` too; not with `suffix`.",
            boolean),
    _served("logprobs", COMPLETIONS, "Log-probabilities of the tokens, and so many of the likeliest at each place. "
            "Not with `suffix`: tokens of a gap may begin before it and end after it, so that they are not those of "
            "its text; `output_log_probs` of generate has them as they are.", integer(0, MAX_TEXT_LOGPROBS)),
    _served("logprobs", CHAT, "Log-probabilities of the tokens chosen.", boolean),
    _served("top_logprobs", CHAT, "How many of the likeliest tokens come with each.", integer(0, MAX_TOP_LOG_PROBS)),
    _served("prompt_logprobs", CHOICES, "vLLM's: log-probabilities of the prompt, and so many of the likeliest tokens "
            "at each place; not with `stream` or `suffix`.", integer(0, MAX_TOP_LOG_PROBS)),
    _served("return_tokens_as_token_ids", CHOICES, "Tokens of `logprobs` are `token_id:ID`.", boolean),
    _served("return_token_ids", OPENAI, "Adds `token_ids` to each choice, and `prompt_token_ids` once; a stream and a "
            "gap have the former alone.", boolean),
    _served("truncate_prompt_tokens", CHOICES, "The last so many tokens of a longer prompt count; -1: as many as leave "
            "room for `max_tokens`. Not with `suffix`.", integer(-1, INT32_MAX)),
    _served("stream", ALL, "Sends text as it is committed, as server-sent events.", boolean),
    _served("stream_options", OPENAI, "`include_usage`: a last chunk has the usage; with vLLM's "
            "`continuous_usage_stats` every chunk has it as it is then.", mapping),
    _served("user", OPENAI + RESPONSES, "Whom the request is for: users of one caller take turns.", text),
    _served("metadata", MESSAGES, "`user_id` is as `user`.", mapping),
    _served("ignore_eos", OPENAI, "true: the answer goes on to `max_tokens`.", boolean),
    _served("continue_final_message", CHAT, "true: goes on from a last assistant message.", boolean),
    _served("add_generation_prompt", CHAT, "false only together with `continue_final_message`.", boolean),
    _served("chat_template_kwargs", CHAT, "`enable_thinking`, and nothing else.", mapping),
    _served("reasoning_effort", CHAT, "`none` and `minimal` turn thinking off, any other word on.",
            one_of("none", "minimal", "low", "medium", "high", "xhigh", "max")),
    _served("reasoning", RESPONSES, "`effort` as `reasoning_effort`.", mapping),
    _served("thinking", MESSAGES, "`type` is enabled or disabled; `budget_tokens` bounds the thought.", mapping),
    _served("thinking_token_budget", CHAT, "Tokens after which the end of thinking is forced.", TOKENS),
    _served("response_format", OPENAI, "`type` is text, json_object, json_schema or structural_tag; the answer "
            "then matches `json_schema.schema`, whatever `strict` says, or is words in which the tags hold.", mapping),
    _served("structured_outputs", ALL, "vLLM's: one of `json`, `regex`, `choice`, `grammar`, `json_object` and "
            "`structural_tag`; also `disable_any_whitespace`, which tools may have too.", mapping),
    _served("text", RESPONSES, "`format`: `type` is text, json_object or json_schema; the answer then matches its "
            "`schema`. `verbosity` is medium.", mapping),
    _served("output_config", MESSAGES, "`format`: `type` is json_schema, and the answer matches `schema`. `effort` "
            "has no effect.", mapping),
    _served("output_format", MESSAGES, "As `output_config.format`, in older clients.", mapping),
    _served("tools", CALLING, "Functions that the answer may call, each with the schema of its arguments.", listing),
    _served("prediction", CHOICES, "A text that the answer should be for the most part, from which drafts are taken: "
            "`{\"type\": \"content\", \"content\"}`, or the text itself. The answer is the same without it."),
    _served("tool_choice", CHAT, "none; auto, the model decides; required, the answer is made of calls; or the "
            "function to call, `{\"type\": \"function\", \"function\": {\"name\"}}`."),
    _served("tool_choice", RESPONSES, "none, auto, required, or `{\"type\": \"function\", \"name\"}`."),
    _served("tool_choice", MESSAGES, "`type` is auto, any, none, or tool with the `name` of the one to call; "
            "`disable_parallel_tool_use` true: at most one call.", mapping),
    _served("parallel_tool_calls", CHAT + RESPONSES, "false: at most one call.", boolean),
    _served("include_reasoning", CHAT, "false leaves the thought out of the answer.", boolean),
    _served("metadata", RESPONSES, "Comes back in the answer.", mapping),
)  # fmt: skip

_IGNORED = (
    *_ignored("Nothing is stored.", CHAT + RESPONSES, "store"),
    *_ignored("Not used.", CHAT, "metadata"),
    *_ignored("There is one tier.", ALL, "service_tier"),
    *_ignored("A hint for other servers' caches and logs.", ALL, "safety_identifier", "prompt_cache_key",
              "prompt_cache_retention", "session_id", "request_id"),
    *_ignored("Thought and answer always come apart, and as they are made.", OPENAI, "separate_reasoning",
              "stream_reasoning"),
    *_ignored("What routers add; it changes no text here.", OPENAI, "no_stop_trim", "spaces_between_special_tokens",
              "add_special_tokens", "rid", "return_text_in_logprobs", "log_metrics"),
    *_ignored("The usage, the finish reason and the counts always come.", OPENAI, "return_finish_reason",
              "return_num_input_tokens", "return_num_output_tokens"),
    *_ignored("Nothing is kept between requests, and no one moderates.", RESPONSES, "include", "moderation"),
    *_ignored("Prompts are cached in any case.", MESSAGES, "cache_control"),
)  # fmt: skip

_OF: dict[str, tuple[Endpoint, ...]] = {
    "enable_thinking": CALLING,
    **dict.fromkeys(IMAGE_FIELDS, ("completions", "fim")),
}
"""Knobs that not every endpoint has: a text has no thought, and pictures of messages are parts of them."""
_OTHER_NAME = "Its name here is `response_format` or `structured_outputs`."
_NO_TOOLS = "The server runs no tools."
_OLD_TOOLS = "Its name is `tools` and `tool_choice` now."
_WHOLE = "Not served."
_GAP_TOKENS = "Tokens of a gap may begin before it and end after it."
_REFUSED = (
    *(_refused(name, OPENAI, _OTHER_NAME) for name in (
        "guided_json", "guided_regex", "guided_choice", "guided_grammar",
        "guided_json_object", "json_schema", "regex", "ebnf")),
    _refused("functions", CHAT, _OLD_TOOLS, []),
    _refused("function_call", CHAT, _OLD_TOOLS, "none", "auto"),
    _refused("prediction", FIM, "A gap is filled without drafts."),
    _refused("prediction", RESPONSES + MESSAGES, "Chat completions and completions take it."),
    _refused("logprobs", FIM, _GAP_TOKENS, False, 0),
    _refused("prompt_logprobs", FIM, _GAP_TOKENS, False, 0),
    _refused("truncate_prompt_tokens", FIM, "A gap's prompt is never cut."),
    _refused("truncation", RESPONSES, "A prompt is never cut.", "disabled", "auto"),
    _refused("echo", CHAT, _WHOLE, False),
    _refused("documents", CHAT, _WHOLE, []),
    _refused("chat_template", CHAT, "The checkpoint's own template counts."),
    _refused("modalities", CHAT, "There is text alone.", ["text"]),
    _refused("verbosity", CHAT, _WHOLE, "medium"),
    *(_refused(name, CHAT, _WHOLE) for name in ("audio", "web_search_options", "mm_processor_kwargs")),
    *(_refused(name, OPENAI, _WHOLE, *neutral) for name, *neutral in (
        ("use_beam_search", False), ("length_penalty", 1, 1.0), ("return_hidden_states", False),
        ("kv_transfer_params",), ("vllm_xargs", {}), ("logits_processors", []), ("lora_path",), ("typical_p", 1, 1.0),
        ("repetition_detection",))),
    *(_refused(name, RESPONSES, "Nothing is kept between requests.") for name in (
        "previous_response_id", "conversation", "prompt", "context_management")),
    _refused("background", RESPONSES, "Nothing is kept between requests.", False),
    _refused("max_tool_calls", RESPONSES, _NO_TOOLS),
    _refused("top_logprobs", RESPONSES, _WHOLE, 0),
    _refused("stream_options", RESPONSES, _WHOLE, {}, {"include_obfuscation": False}),
    _refused("thread", MESSAGES, "Nothing is kept between requests; Anthropic's package then sends all of them."),
    _refused("container", MESSAGES, _WHOLE),
    _refused("mcp_servers", MESSAGES, _NO_TOOLS, []),
    _refused("return_log_probs", OPENAI, "Its name here is `logprobs`.", False),
    _refused("return_prompt_log_probs", OPENAI, "Its name here is `prompt_logprobs`.", False),
    _refused("top_log_probs", OPENAI, "Its name here is `logprobs` or `top_logprobs`.", 0),
    *(_refused(name, RESPONSES + MESSAGES, _WHOLE, False, 0) for name in (
        "return_log_probs", "return_prompt_log_probs", "top_log_probs")),
    _refused("exclude_input_in_output", OPENAI, "Its name here is `echo`.", True),
)  # fmt: skip

_GAPS = ("infill_tokens", "infill_lengths", "return_candidates", "instruction", "guided_decoding_scope")
_ELSEWHERE = {"text_input", "input_ids", "segments", "text", "messages", "suffix", "spans", *_GAPS}
"""Fields of generate that are prompts, or go with a gap or a text to revise."""
_TAKEN = {row.name for row in (*_SERVED, *_IGNORED, *_REFUSED)} - {"text"}
_KNOBS = (
    *(
        Row(name, _OF.get(name, ALL), "passed on", BY_NAME[name].help)
        for name in BY_NAME
        if name not in _ELSEWHERE and name not in _TAKEN
    ),
    *(Row(name, ("completions", "fim"), "passed on", BY_NAME[name].help) for name in _GAPS),
)

TABLE: tuple[Row, ...] = (*_SERVED, *_KNOBS, *_IGNORED, *_REFUSED)
"""Every field, for each endpoint at most once."""


def rows_of(endpoint: Endpoint) -> dict[str, Row]:
    """Return the rows of an endpoint by field."""
    return {row.name: row for row in TABLE if endpoint in row.endpoints}
