"""From the fields of a request to its rules."""

from __future__ import annotations

from typing import Any

from trimode.requests.token_rules import rules_of

from tests.support.toy import EOS, ToyEngine, running


def fields(**given: Any) -> list[str]:
    with running(ToyEngine()) as runtime:
        params = runtime.check({"input_ids": [3], **given}, print).params
        return [rule.field for rule in rules_of(params, runtime.services)]


def test_a_request_without_such_fields_has_no_rules() -> None:
    assert fields() == []
    assert fields(logit_bias={}, allowed_token_ids=[], bad_token_ids=[], bad_words=[""], min_tokens=0) == []


def test_each_field_is_a_rule() -> None:
    assert fields(logit_bias={"5": 1}) == ["logit_bias"]
    assert fields(allowed_token_ids=[5], bad_token_ids=[6]) == ["allowed_token_ids", "bad_token_ids"]
    assert fields(bad_words=["x"]) == ["bad_words"]
    assert fields(min_tokens=3) == fields(min_length=3) == ["min_tokens"]


def test_an_answer_that_nothing_ends_has_no_least_length_to_keep() -> None:
    assert fields(min_tokens=3, end_id=-1) == []
    assert fields(min_tokens=3, end_id=-1, stop_token_ids=[EOS]) == ["min_tokens"]
