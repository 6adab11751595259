"""Messages to a prompt, by the template of a checkpoint."""

from __future__ import annotations

import pytest
from trimode.errors import RequestError
from trimode.text.chat_template import special_tokens

from tests.support.toy import byte_tokenizer

TOKENIZER = byte_tokenizer()
CHAT = [{"role": "user", "content": 'say "é"'}]


def rendered(template: str, *, thinking: bool = False) -> str:
    return byte_tokenizer(template).render_chat(CHAT, enable_thinking=thinking)


def test_the_template_sees_messages_thinking_and_special_tokens() -> None:
    template = "{{ eos_token }}{% for m in messages %}{{ m.role }}:{{ m.content }}{% endfor %}{{ enable_thinking }}"
    assert rendered(template, thinking=True) == '<eos>user:say "é"True'


def test_the_template_sees_tools_in_which_special_tokens_are_text() -> None:
    tokenizer = byte_tokenizer("{% if tools %}{{ tools[0].function.name }}{% endif %}{{ messages[0].calls[0].a }}")
    tools = [{"type": "function", "function": {"name": "<eos>"}}]
    said = [{"role": "user", "content": "", "calls": [{"a": "<eos>"}]}]
    text = tokenizer.render_chat(said, enable_thinking=False, tools=tools, allow_special_tokens=False)
    assert tokenizer.decode(tokenizer.encode(text, marked=True), special=False) == "<eos><eos>"
    assert tokenizer.render_chat(said, enable_thinking=False) == "<eos>"
    assert tokenizer.template_text.startswith("{% if tools %}") and byte_tokenizer().template_text == ""


def test_blocks_leave_no_lines_behind() -> None:
    assert rendered("{% if add_generation_prompt %}\n  {% set x = 1 %}\nhi{% endif %}") == "hi"


def test_tojson_keeps_letters_as_they_are() -> None:
    assert rendered("{{ messages[0].content | tojson }}") == r'"say \"é\""'


def test_a_template_may_break_out_of_a_loop() -> None:
    assert rendered("{% for i in [1, 2] %}{{ i }}{% break %}{% endfor %}") == "1"


def test_a_template_that_refuses_gives_its_reason() -> None:
    with pytest.raises(RequestError, match="could not be rendered by the chat template: no such role"):
        rendered("{{ raise_exception('no such role') }}")


@pytest.mark.parametrize(
    "template", ["{{ messages.x.y }}", "{{ ''.__class__.__mro__ }}", "{{ messages[0].content + 1 }}"]
)
def test_a_template_that_fails_is_a_request_error(template: str) -> None:
    with pytest.raises(RequestError) as caught:
        rendered(template)
    assert caught.value.field == "messages"


def test_messages_need_a_template() -> None:
    with pytest.raises(RequestError) as caught:
        TOKENIZER.render_chat(CHAT, enable_thinking=False)
    assert caught.value.error_type == "not_applicable"


def test_special_tokens_may_be_texts_or_have_their_text_inside() -> None:
    config = {"eos_token": "</s>", "bos_token": {"content": "<s>", "lstrip": False}, "pad_token": None, "other": "x"}
    assert special_tokens(config) == {"eos_token": "</s>", "bos_token": "<s>"}
