"""Which chat templates are known to take a bounded time for a short chat, and which chats are short."""

from __future__ import annotations

from pathlib import Path

import pytest
from trimode.errors import RequestError
from trimode.text.chat_template import ChatTemplate, syntax_of
from trimode.text.template.parts import MOST_CHAT, MOST_MESSAGES, MOST_TEMPLATE, is_bounded, is_short

from tests.support.llama_checkpoints import TEMPLATE

NANO = (Path(__file__).parents[4] / "checkpoints" / "nano" / "chat_template.jinja").read_text(encoding="utf-8")
EACH = "{% for m in messages %}"
END = "{% endfor %}"
LONG = "{% set y = messages ~ messages %}{% set y = y ~ y %}"
"""The longest text that a template may make."""


def bounded(text: str) -> bool:
    return is_bounded(syntax_of(text), len(text))


@pytest.mark.parametrize(
    "text",
    [
        NANO,
        TEMPLATE,
        EACH + "{{ m.role + ': ' + m['content'] | trim }}{% if loop.last %}{% break %}{% endif %}" + END,
        "{% set rest = messages[1:] %}{% for m in rest %}{{ m.content.split('</think>')[-1].lstrip() }}" + END,
        "{% set ns = namespace(last='', found=false) %}"
        + EACH
        + "{% set ns.last = m.content %}"
        + END
        + "{{ ns.last }}",
        "{{ raise_exception('no ' ~ messages[0].role) }}",
        "{{ bos_token | default('') }}{% if messages[0].content is string %}{{ messages[0]['content'] }}{% endif %}",
    ],
)
def test_what_chooses_cuts_and_joins_is_bounded(text: str) -> None:
    assert bounded(text)


@pytest.mark.parametrize(
    "text",
    [
        "{% for a in range(9) %}x" + END,
        EACH + EACH + "x" + END + END,
        "{% for c in messages[0].content %}x" + END,
        "{% set messages = messages + messages %}" + EACH + "x" + END,
        "{% set ns = namespace(m=messages) %}{% for m in ns.m %}x" + END,
        "{% for m in messages recursive %}{{ loop(messages) }}" + END,
        "{{ 'a' * 2000000000 }}",
        "{{ 10 ** 10 ** 10 }}",
        "{{ '%1999999999d' % 1 }}",
        "{{ 'a' | center(1999999999) }}",
        "{{ 'a'.center(1999999999) }}",
        "{{ messages[0].content.join(messages[1].content) }}",
        "{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(1) }}",
        "{% call raise_exception() %}{% endcall %}",
        "{% set x %}text{% endset %}",
        "{% include 'other' %}",
        "{{ messages | tojson }}",
        "{{ messages | length(*messages) }}",
        "{{ messages is divisibleby(3) }}",
        "{{ [messages, messages] }}",
        "{{ (messages, 1) }}",
        "{{ {'a': messages} }}",
        "{{ messages[0].content.split('a') }}",
        "{{ messages[0].content.split('a')[1:] }}",
        "{{ messages[0].content.split(messages[1].content)[0] }}",
        "{{ namespace(**messages[0]) }}",
        "(" + "{{ messages" + " ~ messages" * 4 + " }})",
        "{% set x = 'a' %}" + "{% set x = x ~ x %}" * 3,
        EACH + "{% set x = m.content.split('a')[0] %}" * 9 + END,
        "{{ " + "not " * 60 + "1 }}",
        " " * (MOST_TEMPLATE + 1),
    ],
)
def test_what_could_take_long_is_not(text: str) -> None:
    assert not bounded(text)


@pytest.mark.parametrize(
    "text",
    [
        "{% set ns = namespace(a='') %}" + EACH + "{% set ns.a = ns.a ~ m.content %}" + END,
        "{% set ns = namespace(a='') %}" + EACH + "{% set x = ns.a ~ 'a' %}{% set ns.a = x %}" + END,
        "{% set ns = namespace(a='') %}" + EACH + "{% set m = ns.a ~ 'a' %}{% set ns.a = m[0:] %}" + END,
        EACH + "{% set ns = namespace(a=m.content ~ m.content) %}" + END,
        "{% set ns = namespace(strip=messages[0].content.center) %}{{ ns.strip(1999999999) }}",
        "{% set ns = namespace() %}{% set ns.split = messages[0].content.center %}{{ ns.split(1999999999)[0] }}",
        "{% set raise_exception = messages[0].content.center %}{{ raise_exception(1999999999) }}",
        "{% for namespace in messages %}{{ namespace(a=1) }}" + END,
        "{% set f = messages[0].content.center %}{{ f(1999999999) }}",
    ],
)
def test_nothing_grows_from_one_message_to_the_next_or_goes_by_another_name(text: str) -> None:
    assert not bounded(text)


@pytest.mark.parametrize("text", ["{{ messages[0].content.strip }}", "{{ messages[0]['keys'] }}", "{{ messages.pop }}"])
def test_nothing_shows_where_memory_is(text: str) -> None:
    assert not bounded(text)


def test_the_special_tokens_that_it_may_write_count_too() -> None:
    tree = syntax_of("{{ bos_token }}")
    assert is_bounded(tree, MOST_TEMPLATE) and not is_bounded(tree, MOST_TEMPLATE + 1)


def test_a_chat_is_short_in_its_messages_and_its_characters() -> None:
    one = {"role": "user", "content": "a"}
    assert is_short([one] * MOST_MESSAGES) and not is_short([one] * (MOST_MESSAGES + 1))
    most = MOST_CHAT - len("rolecontentuser")
    assert is_short([{**one, "content": "a" * most}]) and not is_short([{**one, "content": "a" * (most + 1)}])
    assert not is_short([{**one, "tool_calls": []}])


@pytest.mark.parametrize(
    "text",
    [
        LONG + EACH + '{% set z = y.split("\'")[0] %}' * 8 + END,
        LONG + EACH + "{% if 'aa' in y %}{% endif %}" * 8 + END,
        LONG + EACH + "{% set z = y[::-1] %}" * 190 + END,
        LONG + EACH + "{{ y }}" * 560 + END,
        "{% set y = messages ~ messages %}" + EACH + "{% set z = y ~ 'a' %}" * 190 + END,
        EACH + "{{ messages }}" * 280 + END,
    ],
)
def test_the_worst_bounded_template_writes_little_and_ends(text: str) -> None:
    assert bounded(text)
    chat = [{"role": "user", "content": "'" * (MOST_CHAT - 15)}, *({} for _ in range(MOST_MESSAGES - 1))]
    assert is_short(chat)
    try:
        assert len(ChatTemplate(text, {}).render(chat, enable_thinking=False, field="messages")) < 8 * 2**20
    except RequestError as exc:
        assert "wrote more than" in str(exc)
