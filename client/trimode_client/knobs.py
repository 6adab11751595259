"""Knobs: the keywords of the client's methods. scripts/render_knobs.py writes this file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

from trimode.api.fields import AcceptRule, AllowedMode, LogProbsKind, Mode, ModeName

from .images import Image

ALWAYS_RETURNED = (
    "return_finish_reason",
    "return_num_input_tokens",
    "return_num_output_tokens",
    "return_perf_metrics",
    "return_token_ids",
    "return_effective_params",
)
"""What the client asks for with every request, because a Completion holds it."""


class ImageKnobs(TypedDict, total=False):
    """The knobs of pictures."""

    images: Sequence[Image]
    """Pictures, each a path, a URL, bytes or a picture of Pillow: they stand before the text, or before what the last
    message of the user says. Default: none."""

    max_image_size: int
    """Pixels of a picture's longer side at most, a multiple of 28; fewer take fewer tokens of the prompt. From 28
    to 1400. Default: 1400."""


class Knobs(ImageKnobs, total=False):
    """Every knob of a request. One that is left out, or None, takes the server's default."""

    enable_thinking: bool
    """With messages: think first; thought and </think> precede the answer. Default: false."""

    continue_final_message: bool
    """With messages whose last one is the assistant's: true continues it. Otherwise the answer is a new turn after
    it. With suffix such a message is always continued. Default: false."""

    allow_special_tokens: bool
    """With messages or instruction: true reads special tokens that are written in them as such, so that a text can
    end its own turn. Otherwise they are plain text. In other texts special tokens always count. Default: false."""

    mode: Mode | ModeName
    """auto, autoregressive, diffusion or self_speculation. Default: auto."""

    auto_allow: Sequence[AllowedMode]
    """With auto: what it may choose in addition to exact text: diffusion. Default: none."""

    max_tokens: int
    """Most tokens to generate, or to fill a gap with. From 1 to 2**31 - 1. Default: 128, gaps 32."""

    stream_provisional: bool
    """With stream: also send the block after each of its denoising passes; at once, or several together by
    stream_interval_ms. Default: false."""

    stream_interval: int
    """With stream: new tokens after which the next response is sent; 0 waits for stream_interval_ms alone. The
    first response and the last do not wait. From 0 to 2**31 - 1. Default: 1."""

    stream_interval_ms: int
    """With stream: milliseconds since the last response after which new tokens are sent, however few they are; 0
    for no such limit. Given without stream_interval, more than 0 counts alone. With stream_provisional, passes
    wait for it too, 64 at most. From 0 to 2**31 - 1. Default: 0."""

    stop_words: Sequence[str]
    """Generation ends before the first of these texts. Default: none."""

    end_id: int
    """Token that ends the answer; -1 for none. From -1 to 2**31 - 1. Default: the model's."""

    bad_words: Sequence[str]
    """Texts that do not stand in the answer: a token that would complete one of them is not chosen. At most 64, of
    4096 characters in all. Default: none."""

    logit_bias: Mapping[int, float] | Mapping[str, float]
    """What is added to the logits of tokens before one is chosen: a JSON object of token ids and numbers from -100
    to 100, at most 300. Default: none."""

    allowed_token_ids: Sequence[int]
    """The only tokens that may be chosen; an answer that is to end needs the end token among them. From 0 to 2**31
    - 1. Default: all."""

    bad_token_ids: Sequence[int]
    """Tokens that are not chosen. From 0 to 2**31 - 1. Default: none."""

    min_tokens: int
    """Least tokens to generate: before that no token ends the answer, and no stop word does. From 0 to 2**31 - 1.
    Default: 0."""

    stop_token_ids: Sequence[int]
    """Tokens that end the answer too, at most 64. The answer's text does not hold the one that did. From 0 to 2**31
    - 1. Default: none."""

    include_stop_str_in_output: bool
    """true leaves the stop word or the stop token that ended the answer in its text. Default: false."""

    skip_special_tokens: bool
    """false shows special tokens in the text, except for the one that ends the answer. Default: true."""

    guided_decoding_guide_type: str
    """What the answer must match, and what guided_decoding_guide holds of it: json, any JSON object, without a
    guide; json_schema, a JSON schema; regex, a regular expression; choice, a JSON list of texts, of which the
    answer is one; ebnf_grammar, a grammar in the notation of Lark or GBNF; structural_tag, words in which JSON
    stands between texts, in the form of vLLM. A thought is not part of the answer. Default: none."""

    guided_decoding_guide: str
    """With guided_decoding_guide_type: the schema, expression, list, grammar or tags. Default: none."""

    guided_decoding_scope: str
    """With gaps and guided_decoding_guide_type: gap, each filling matches by itself; whole, the text as a whole
    does, with its gaps filled and without instruction and earlier messages. Default: gap."""

    disable_any_whitespace: bool
    """With guided_decoding_guide_type json or json_schema: true leaves no whitespace between the parts of JSON.
    Default: false."""

    effort: float
    """From 0, cheap, to 1, careful: sets diffusion's knobs by a measured table. From 0 to 1. Default: none."""

    block_length: int
    """Tokens drafted in parallel; with auto, the maximum. Values above the model's own lower quality. From 1 to 64.
    Default: the model's."""

    denoise_steps: int
    """Upper bound on the passes that refine one block, its revisions included, or a window of a text. From 1 to 64.
    Default: block_length."""

    threshold: float
    """Probability from which a token is kept at once. From 0 to 1. Default: 0.9, drafts 0."""

    reveal: str
    """Which masked positions a pass keeps: threshold, steps, leftmost, entropy, margin. Default: threshold."""

    infill_tokens: int
    """Size of the gap: tokens of the text that fills it, tokenized by itself. A filling of exactly this size is
    preferred. From 1 to 1024. Default: searched."""

    infill_lengths: Sequence[int]
    """Up to 16 sizes of the gap to try, as infill_tokens; the likeliest text wins. From 1 to 1024. Default:
    searched."""

    return_candidates: bool
    """Return infill_candidates: every filling tried, its text and its score. Default: false."""

    instruction: str
    """With text or gaps: the question that the text answers; a chat message in front of it. Default: none."""

    spans: Sequence[Sequence[int]]
    """Parts of text to reconsider, a JSON list of [start, end] in code points. Default: all of text."""

    revise_threshold: float
    """Reconsider tokens of a causal log-probability below this. From -1000 to 0. Default: -2."""

    revise_fraction: float
    """Reconsider this share of the tokens instead, the least likely. From 0 to 1. Default: none."""

    revise_rounds: int
    """Most times the text is revised, or each block generated while it has denoise_steps left. From 0 to 16.
    Default: text 2, else 0."""

    accept: AcceptRule
    """likelihood keeps a change only if its block becomes likelier; always keeps every change. Default: likelihood."""

    speculation: str
    """linear drafts and verifies in turn; quadratic in one pass of block_length * (block_length + 1) tokens.
    Default: linear."""

    draft_adapter: bool
    """Self-speculation drafts with the checkpoint's draft adapter. Default: if there is one."""

    prediction: str
    """A text expected as the answer: drafts are taken from it, and the answer stays the same. Default: none."""

    prompt_lookup: bool
    """true drafts what followed the last tokens earlier in prompt or answer; no answer changes. Default: false."""

    temperature: float
    """0 picks the most likely token, above it samples. From 0 to 100. Default: 0."""

    top_k: int
    """Sample among the k most likely tokens; 0 for all. From 0 to 2**31 - 1. Default: 0."""

    top_p: float
    """Sample among the most likely tokens that hold this much probability. From 0 to 1. Default: 1."""

    min_p: float
    """Drop tokens less likely than this share of the most likely one. From 0 to 1. Default: 0."""

    seed: int
    """Same seed, same request: same text, whatever else runs. INT64. From 0 to 2**63 - 1. Default: random."""

    repetition_penalty: float
    """Above 1 makes tokens already seen less likely. From 0.01 to 100. Default: 1."""

    presence_penalty: float
    """Taken off tokens already generated. From -2 to 2. Default: 0."""

    frequency_penalty: float
    """Taken off tokens for each time they were generated. From -2 to 2. Default: 0."""

    max_thinking_tokens: int
    """Tokens after which the end of thinking is forced. From 0 to 2**31 - 1. Default: none."""

    end_think_token_id: int
    """The token that ends thinking. From 0 to 2**31 - 1. Default: the tokenizer's </think>."""

    timeout_ms: int
    """Time the request may take, queueing included. From 1 to 2**31 - 1. Default: none."""

    priority: int
    """Of the waiting requests of one caller the lowest goes first; other callers' turns do not depend on it. From
    -2.14748e+09 to 2**31 - 1. Default: 0."""

    user: str
    """Whom it is for: users of one caller take turns. Default: none."""

    cache_salt: str
    """What is cached of a prompt serves requests with the same salt alone, so that no one else can time it.
    Default: none."""

    exclude_input_in_output: bool
    """false puts the prompt's text in front of the answer. Default: true."""

    return_log_probs: bool
    """Return output_log_probs and cum_log_probs, of output_ids. Default: false."""

    log_probs_kind: LogProbsKind
    """With return_log_probs, in diffusion: reveal returns the log-probability with which a token was chosen, given
    what was known of its block then. causal returns that of the token after those before it, as other modes do;
    it costs a scoring pass for the last block. Default: reveal."""

    top_log_probs: int
    """Likeliest tokens that come with each log-probability. From 0 to 20. Default: 0."""

    return_prompt_log_probs: bool
    """Return prompt_ids, and prompt_log_probs of every token of the prompt but the first. The prefix cache is not
    used then. Default: false."""


KNOBS = tuple(name for name in Knobs.__annotations__ if name != "images")
"""The knobs that are fields of a request."""
