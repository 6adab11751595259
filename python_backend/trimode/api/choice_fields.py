"""The rows of the table about which tokens may be chosen, and which end the answer. Knows no other field."""

from __future__ import annotations

from .field import Field

INT32_MAX = 2**31 - 1
MAX_BIASES = 300
"""Entries of logit_bias, as OpenAI and vLLM have it."""
MAX_BIAS = 100.0
"""Largest bias, as OpenAI has it: more than any two logits of a trained model lie apart."""
MAX_STOP_TOKENS = 64
"""Most stop_token_ids; each is compared with every token of a block."""
MAX_BAD_WORDS = 64
MAX_BAD_WORD_CHARACTERS = 256
MAX_BAD_CHARACTERS = 4096
"""Characters of all bad_words together: each token is compared with the beginning of every word."""

CHOICE_FIELDS: tuple[Field, ...] = (
    Field(
        "bad_words",
        "strings",
        "none",
        "Texts that do not stand in the answer: a token that would complete one of them is not chosen. "
        f"At most {MAX_BAD_WORDS}, of {MAX_BAD_CHARACTERS} characters in all.",
        empty_is_none=True,
        check="bad_words",
    ),
    Field(
        "logit_bias",
        "object",
        "none",
        "What is added to the logits of tokens before one is chosen: a JSON object of token ids and numbers from -100 "
        f"to 100, at most {MAX_BIASES}.",
        empty_is_none=True,
        check="logit_bias",
    ),
    Field(
        "allowed_token_ids",
        "ints",
        "all",
        "The only tokens that may be chosen; an answer that is to end needs the end token among them.",
        0,
        INT32_MAX,
        empty_is_none=True,
        check="distinct",
    ),
    Field(
        "bad_token_ids",
        "ints",
        "none",
        "Tokens that are not chosen.",
        0,
        INT32_MAX,
        empty_is_none=True,
        check="distinct",
    ),
    Field(
        "min_tokens",
        "int",
        "0",
        "Least tokens to generate: before that no token ends the answer, and no stop word does.",
        0,
        INT32_MAX,
    ),
    Field("min_length", "int", "0", "TensorRT-LLM's name of min_tokens.", 0, INT32_MAX),
    Field(
        "stop_token_ids",
        "ints",
        "none",
        f"Tokens that end the answer too, at most {MAX_STOP_TOKENS}. The answer's text does not hold the one that did.",
        0,
        INT32_MAX,
        empty_is_none=True,
        check="stop_token_ids",
    ),
    Field(
        "include_stop_str_in_output",
        "bool",
        "false",
        "true leaves the stop word or the stop token that ended the answer in its text.",
    ),
    Field(
        "skip_special_tokens",
        "bool",
        "true",
        "false shows special tokens in the text, except for the one that ends the answer.",
    ),
)
