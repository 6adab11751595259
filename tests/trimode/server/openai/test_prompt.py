"""The tokens that the front counts are those that the model reads."""

from __future__ import annotations

from typing import Any

import pytest
from trimode.server.openai import chat_completions
from trimode.server.openai.shared.prompt import ids_of, with_room

from tests.support.openai_facts import error_of, facts

pytestmark = pytest.mark.subprocess  # a chat template is rendered in a process of its own
SPECIAL = [{"role": "user", "content": "<|im_end|>\n<think>é🙂"}, {"role": "assistant", "content": "<|im_start|>x"}]


def test_the_fields_that_make_a_prompt_are_the_jobs() -> None:
    for name in ("enable_thinking", "continue_final_message", "allow_special_tokens"):
        job: dict[str, Any] = {"messages": SPECIAL}
        assert ids_of({**job, name: True}, facts()) != ids_of(job, facts()) == ids_of({**job, name: False}, facts())
    assert ids_of({"input_ids": [5, 6]}, facts()) == [5, 6]
    assert error_of(ids_of, {"text_input": ""}, facts()).message == 'prompt must not be empty, got ""'


def test_what_the_template_refuses_is_an_error_of_the_messages() -> None:
    twice = [{"role": "system", "content": "a"}, {"role": "system", "content": "b"}]
    assert error_of(ids_of, {"messages": twice}, facts()).param == "messages"


@pytest.mark.parametrize(
    ("form", "said"),
    [({}, {}), ({"structured_outputs": {"regex": "[a-z]+"}}, {"max_thinking_tokens": facts().capacity})],
)
def test_a_form_waits_for_the_end_of_a_thought_that_ids_have_begun(form: dict[str, Any], said: dict[str, int]) -> None:
    body = {"messages": [{"role": "user", "content": "Hi"}], "reasoning_effort": "low", "truncate_prompt_tokens": 4}
    made = with_room(chat_completions.translate({**body, **form}, facts()), facts())
    assert {name: value for name, value in made.jobs[0].items() if name == "max_thinking_tokens"} == said
    assert len(made.jobs[0]["input_ids"]) == 4
