"""The table, the names of models, errors, facts and the other small parts of the OpenAI face."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
from trimode.api.fields import BY_NAME, PROMPT_FIELDS
from trimode.bundle.manifest import GENERATION_CONFIG, Manifest
from trimode.config import ServerConfig
from trimode.errors import ERROR_TYPES, BundleError, Refusal, RequestError
from trimode.server.openai.models import model
from trimode.server.openai.shared.errors import TOO_LONG, FaceError, error_in, face_error
from trimode.server.openai.shared.facts import Facts
from trimode.server.openai.shared.fields import sort_fields
from trimode.server.openai.shared.model_names import ModelNames, sane
from trimode.server.openai.shared.table import TABLE, Endpoint, rows_of
from trimode.server.openai.tokenize import detokenize, info, tokenize

from tests.support.openai_facts import error_of, facts

ENDPOINTS: tuple[Endpoint, ...] = get_args(Endpoint)
SENT = {
    "chat": """model messages max_completion_tokens max_tokens temperature top_p n stop seed presence_penalty
        frequency_penalty logit_bias logprobs top_logprobs stream stream_options response_format tools tool_choice
        parallel_tool_calls reasoning_effort prediction user metadata store service_tier top_k min_p repetition_penalty
        min_tokens ignore_eos stop_token_ids include_stop_str_in_output skip_special_tokens allowed_token_ids bad_words
        echo prompt_logprobs add_generation_prompt continue_final_message chat_template_kwargs thinking_token_budget
        include_reasoning structured_outputs return_token_ids return_tokens_as_token_ids priority request_id session_id
        cache_salt truncate_prompt_tokens stream_interval no_stop_trim separate_reasoning stream_reasoning
        return_hidden_states mode denoise_steps threshold effort block_length stream_provisional""",
    "completions": """model prompt suffix echo logprobs n best_of stop seed stream stream_options max_tokens temperature
        top_p presence_penalty frequency_penalty logit_bias user infill_tokens no_stop_trim separate_reasoning
        stream_reasoning return_hidden_states ignore_eos skip_special_tokens""",
    "fim": """model prompt suffix max_tokens max_completion_tokens temperature top_p presence_penalty frequency_penalty
        stop stream random_seed min_tokens""",
}
"""What clients, routers and evaluation harnesses send."""
MANIFEST = Manifest(
    model="nano",
    runtime="onnxruntime",
    runtime_version="1",
    kv_form="delta",
    precision="float32",
    capacity=64,
    buckets=(64,),
    num_layers=1,
    num_kv_heads=1,
    head_dim=1,
    hidden_size=1,
    vocab_size=99,
    block_size=32,
    mask_token_id=1,
    eos_token_id=11,
    bos_token_id=None,
    adapter=False,
    checkpoint_hash="",
    files={},
)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_a_field_has_one_row_for_an_endpoint(endpoint: Endpoint) -> None:
    counts = Counter(row.name for row in TABLE if endpoint in row.endpoints)
    assert [name for name, count in counts.items() if count > 1] == []


@pytest.mark.parametrize("endpoint", SENT)
def test_what_clients_send_is_known(endpoint: Endpoint) -> None:
    assert set(SENT[endpoint].split()) - set(rows_of(endpoint)) == set()


def test_every_knob_of_generate_is_known() -> None:
    known = {name for endpoint in ENDPOINTS for name in rows_of(endpoint)}
    assert set(BY_NAME) - known - {*PROMPT_FIELDS, "spans"} == set()


def test_a_row_says_what_it_does() -> None:
    assert all(row.text.endswith((".", ":")) or row.treatment == "passed on" for row in TABLE)
    assert all(row.neutral == () or row.treatment == "refused" for row in TABLE)
    assert all(row.check is None or row.treatment == "served" for row in TABLE)


def test_refused_fields_are_named_and_their_empty_values_are_not() -> None:
    for endpoint in ENDPOINTS:
        for row in rows_of(endpoint).values():
            if row.treatment != "refused":
                continue
            error = error_of(sort_fields, endpoint, {row.name: {"no": "such"}})
            assert (error.param, error.code, error.status) == (row.name, "not_applicable", 400)
            for value in (None, *row.neutral):
                assert sort_fields(endpoint, {row.name: value}).served == {}


def test_one_is_not_true() -> None:
    assert error_of(sort_fields, "chat", {"skip_special_tokens": 1}).param == "skip_special_tokens"


def test_an_unknown_field_gets_a_suggestion() -> None:
    error = error_of(sort_fields, "chat", {"temprature": 1})
    assert error.code == "unknown_field" and "temperature" in error.message
    assert error_of(sort_fields, "chat", {"a b": 1}).param == "a b"


@pytest.mark.parametrize(
    ("name", "expected"),
    [("nano", "nano"), ("my model (1)", "my-model-1"), ("a:diffusion", "a-diffusion"), ("org/name:8b", "org/name:8b"),
     ("語", "model")],
)  # fmt: skip
def test_a_folder_gives_a_name_that_clients_can_send(name: str, expected: str) -> None:
    assert sane(name) == expected


def test_names_that_an_operator_gives() -> None:
    names = ModelNames.of(["a", "b", "a"], "nano")
    assert names.names == ("a", "b") and "b:diffusion" in names.listed() and "nano" not in names.listed()
    assert ModelNames.of([], "nano").names == ("nano",)
    assert ModelNames.of(["x:diffusion"], "nano").mode_of("x:diffusion") is None
    assert names.mode_of("a:self_speculation") == "self_speculation"
    found = model("other:diffusion", facts(), "first")
    assert (found["parent"], found["model_name"]) == ("other", "first")


@pytest.mark.parametrize("error_type", ERROR_TYPES)
def test_every_type_of_error_has_a_form(error_type: str) -> None:
    error = face_error(Refusal(error_type, "so it is"))
    body = error.body()["error"]
    ending = TOO_LONG if error_type == "prompt_too_long" else ""
    assert body["message"] == f"so it is{ending}" and body["param"] is None
    assert (body["type"] == "server_error") is (error.status >= 500)
    assert bool(error.headers()) is (error.status in (401, 429, 503))


def test_fields_have_the_names_that_clients_know() -> None:
    error = error_in("invalid_value: stop_words may hold at most 16 texts, got 17")
    assert (error.param, error.message[:8]) == ("stop", "stop may")
    assert error_in("invalid_value: input_ids must be below 5, got 6").param == "prompt"
    assert error_in("prompt_too_long: messages[1].content must", {}).param == "messages[1].content"
    assert error_in("engine_failed: threshold of the engine").param is None
    assert error_in("nobody knows this").param is None
    assert face_error(RequestError("the body", "must be valid JSON", "{", error_type="bad_json")).param is None


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ({"temperature": 0.6, "top_p": 0.9}, (0.6, 0.9)),
        ({"temperature": 0.6, "do_sample": False}, (None, None)),
        ({"temperature": 9, "top_p": "x"}, (None, None)),
        (["no object"], (None, None)),
    ],
)
def test_the_defaults_are_those_of_the_checkpoint(
    tmp_path: Path, written: object, expected: tuple[float | None, float | None]
) -> None:
    (tmp_path / GENERATION_CONFIG).write_text(json.dumps(written), encoding="utf-8")
    found = Facts.load(tmp_path, MANIFEST, ServerConfig(), ["mine"])
    assert (found.temperature, found.top_p) == expected
    assert found.tokenizer is None and found.names.names == ("mine",) and found.end_id == 11


def test_a_file_that_cannot_be_read_is_a_broken_bundle(tmp_path: Path) -> None:
    (tmp_path / GENERATION_CONFIG).write_text("{", encoding="utf-8")
    with pytest.raises(BundleError, match=GENERATION_CONFIG):
        Facts.load(tmp_path, MANIFEST, ServerConfig(), [])


def test_tokens_and_their_text() -> None:
    found = tokenize({"prompt": "<think>é🙂", "return_token_strs": True}, facts())
    assert detokenize({"tokens": found["tokens"], "model": "nano"}, facts()) == {"prompt": "<think>é🙂"}
    assert found["count"] == len(found["token_strs"])
    assert detokenize({"tokens": []}, facts()) == {"prompt": ""}
    without_a_turn = {"prompt": "a", "add_generation_prompt": False}
    bad: list[dict[str, Any]] = [{}, {"prompt": "a", "messages": []}, {"prompt": 5}, {"prompt": "a", "x": 1}]
    assert [error_of(tokenize, body, facts()).status for body in (*bad, without_a_turn)] == [400] * 5
    bad = [{}, {"tokens": ["a"]}, {"tokens": [True]}, {"tokens": [-1]}, {"tokens": [5], "x": 1}]
    assert [error_of(detokenize, body, facts()).status for body in bad] == [400] * 5
    assert error_of(tokenize, {"prompt": "a", "model": "x"}, facts()).status == 404


def test_a_checkpoint_without_a_tokenizer_takes_ids_alone() -> None:
    bare = replace(facts(), tokenizer=None)
    assert error_of(tokenize, {"prompt": "a"}, bare).code == "not_applicable"
    assert error_of(detokenize, {"tokens": [1]}, bare).code == "not_applicable"
    with pytest.raises(FaceError, match="a checkpoint with a tokenizer"):
        info(bare)


def test_what_is_said_of_a_tokenizer_is_its_config_with_tokens_as_texts() -> None:
    token = {"content": "</s>", "lstrip": False, "normalized": False, "rstrip": False, "special": True}
    config = {
        "tokenizer_class": "LlamaTokenizer",
        "eos_token": {"__type": "AddedToken", **token},
        "added_tokens_decoder": {"2": token},
        "extra_special_tokens": [token, "<x>"],
        "chat_template": [{"name": "default", "template": "old"}],
        "vocab_file": "/home/somebody/vocab.json",
        "model_max_length": 2048,
    }
    known = facts()
    assert known.tokenizer is not None
    assert info(replace(known, tokenizer_config=config)) == {
        "tokenizer_class": "LlamaTokenizer",
        "eos_token": "</s>",
        "added_tokens_decoder": {"2": "</s>"},
        "extra_special_tokens": ["</s>", "<x>"],
        "chat_template": known.tokenizer.template_text,
        "model_max_length": 2048,
    }


def test_a_tokenizer_without_a_config_has_the_class_that_transformers_takes() -> None:
    said = info(replace(facts(), tokenizer_config={}))
    assert said.pop("chat_template")
    assert said == {"tokenizer_class": "PreTrainedTokenizerFast"}


def test_the_list_names_the_modes_that_the_model_has() -> None:
    assert ModelNames.of((), "smol", ("auto", "autoregressive")).listed() == ["smol", "smol:autoregressive"]
