"""Chat templates of strangers: whatever they ask for, the answer is text or an error, and the next chat is served."""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Callable
from pathlib import Path

import jinja2
import psutil
import pytest
from trimode.errors import EngineError, RequestError
from trimode.text import limited_process
from trimode.text.chat_template import MOST_CHARACTERS, ChatTemplate
from trimode.text.limited_worker import frame, read
from trimode.text.template import process as module
from trimode.text.template.process import TemplateProcess
from trimode.text.template.worker import answer

pytestmark = pytest.mark.subprocess

CHAT = [{"role": "user", "content": 'say "é" \U0010fffe'}]
NANO = Path(__file__).parents[4] / "checkpoints" / "nano" / "chat_template.jinja"
CONDITIONAL = "{% if messages[0].content == 'loop' %}" + (
    "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}{% endif %}{{ messages[0].content }}"
)
UNUSUAL = "{% for a in range(1) %}a{% endfor %}"
"""A template that nobody has read."""


def render(template: TemplateProcess | ChatTemplate, content: str = "") -> str:
    chat = [{"role": "user", "content": content}] if content else CHAT
    return template.render(chat, enable_thinking=True, field="messages")


def test_it_renders_as_the_template_itself_does() -> None:
    text, special = NANO.read_text(), {"eos_token": "</s>"}
    for content in ("", "many words " * 300):
        assert render(TemplateProcess(text, special), content) == render(ChatTemplate(text, special), content)


def test_a_short_chat_by_a_known_template_needs_no_process() -> None:
    nano, other = TemplateProcess(NANO.read_text(), {}), TemplateProcess(UNUSUAL, {})
    render(nano), render(other)
    assert nano._process is None and other._process is not None
    nano.render(CHAT, enable_thinking=False, field="messages", tools=[])
    assert nano._process is not None, "tools may be of any size"
    nano.close()
    render(nano, "many words " * 300)
    assert nano._process is not None


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", "within 1 s"),
        ("{% macro f(n) %}{% if n %}{{ f(n-1) }}{{ f(n-1) }}{% endif %}{% endmacro %}{{ f(60) }}", "within 1 s"),
        ("{% for a in range(99999) %}{% for b in range(99999) %}xxxxxxxx{% endfor %}{% endfor %}", "wrote more than"),
        ("{{ 'a' * 2000000000 }}", "MemoryError"),
        ("{{ messages[0].role[0] * 2000000000 }}", "MemoryError"),
        ("{{ 'a' | center(1999999999) }}", "MemoryError"),
        ("{{ '%1999999999d' % messages | length }}", "MemoryError"),
        ("{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(1) }}", "recursion"),
        ("{{ range(10 ** 9) | list }}", "Range too big"),
        ("{{ 1 | no_such_filter }}", "No filter named 'no_such_filter'"),
        ("{{ raise_exception('no such role') }}", "no such role"),
    ],
)
def test_what_takes_too_much_is_an_error_with_its_reason(template: str, reason: str) -> None:
    with pytest.raises(RequestError, match=reason) as caught:
        render(TemplateProcess(template, {}))
    assert caught.value.on_the_wire().startswith("invalid_value: messages ")
    assert "/" not in str(caught.value) and "Traceback" not in str(caught.value)


def test_a_reason_is_not_longer_than_an_answer_should_be() -> None:
    for made in (ChatTemplate, TemplateProcess):
        with pytest.raises(RequestError) as caught:
            render(made("{{ raise_exception('a' * 100000) }}", {}))
        assert len(str(caught.value)) < 400


def test_what_is_written_piece_by_piece_is_bounded_without_a_process_too() -> None:
    with pytest.raises(RequestError, match=f"more than {MOST_CHARACTERS} characters"):
        render(ChatTemplate("{% for a in range(99999) %}{{ 'x' * 1000 }}{% endfor %}", {}))


def test_after_one_that_took_too_long_the_next_is_rendered() -> None:
    template = TemplateProcess(CONDITIONAL, {})
    assert render(template, "one") == "one"
    with pytest.raises(RequestError, match="within 1 s"):
        render(template, "loop")
    assert render(template, "two") == "two"


def test_after_some_in_a_row_it_is_left_alone_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TRIES", 1)
    template = TemplateProcess(CONDITIONAL, {})
    with pytest.raises(RequestError, match="within 1 s"):
        render(template, "loop")
    assert template._process is None
    with pytest.raises(RequestError, match="within 1 s"):
        render(template, "two")
    assert template._process is None, "nothing was tried"
    monkeypatch.setattr(template, "_rests_until", 0.0)
    assert render(template, "two") == "two"


def test_a_process_that_was_killed_is_replaced() -> None:
    template = TemplateProcess(CONDITIONAL, {})
    render(template, "one")
    assert template._process is not None
    os.kill(template._process.pid, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(template._process.pid)], timeout=30)
    assert render(template, "two") == "two"


def test_the_process_ends_with_its_owner() -> None:
    template = TemplateProcess(CONDITIONAL, {})
    render(template, "one")
    assert template._process is not None
    process = psutil.Process(template._process.pid)
    template.close()
    assert not process.is_running()
    assert render(template, "two") == "two"
    template.close()


def test_a_process_whose_owner_is_gone_ends_by_itself() -> None:
    template = TemplateProcess(CONDITIONAL, {})
    render(template, "one")
    assert template._process is not None and template._line is not None
    template._line.close()
    assert template._process.wait(30) == 0


def test_what_is_no_template_is_refused_at_once() -> None:
    with pytest.raises(jinja2.TemplateError):
        TemplateProcess("{% for %}", {})


def test_a_process_that_cannot_be_started_is_an_engine_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limited_process, "_python", lambda: "/no/such/python")
    with pytest.raises(EngineError, match="cannot be started") as caught:
        render(TemplateProcess(UNUSUAL, {}))
    assert "/no/such" not in str(caught.value)


WORKS = "import sys\nfrom trimode.text.limited_worker import *\n"
ENDS = "import os, signal\nread(sys.stdin.buffer); sys.stdout.buffer.write(frame({})); sys.stdout.buffer.flush()\n"
ENDS += "read(sys.stdin.buffer)\n"  # the first message is the template, the second a chat


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], TemplateProcess]:
    """Make a template whose process runs other code, which it finds by the operator's PYTHONPATH."""

    def make(code: str) -> TemplateProcess:
        (tmp_path / "stand_in_worker.py").write_text(code)
        monkeypatch.setattr(module, "WORKER", "stand_in_worker")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        return TemplateProcess(UNUSUAL, {})

    return make


@pytest.mark.parametrize("code", ["import no_such_module", "import time; time.sleep(600)", "print('x' * 99)", "exit()"])
def test_a_process_that_does_not_come_up_is_an_engine_error(
    stand_in: Callable[[str], TemplateProcess], monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    monkeypatch.setattr(limited_process, "START_SECONDS", 2.0)
    monkeypatch.setattr(module, "TRIES", 1)
    template = stand_in(code)
    for _ in range(2):  # such an end is not the template's, and the template is not left alone for it
        with pytest.raises(EngineError, match="cannot be started"):
            render(template)


@pytest.mark.parametrize(
    ("last", "error"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", EngineError),
        ("os.kill(os.getpid(), signal.SIGSEGV)", EngineError),
        ("sys.exit(1)", EngineError),
        ("print('no answer' * 9)", EngineError),
        ("sys.stdout.buffer.write(frame({})[:-1] + b'?'); sys.stdout.buffer.flush()", EngineError),
        ("os.kill(os.getpid(), signal.SIGPROF)", RequestError),
        ("os.kill(os.getpid(), signal.SIGXCPU)", RequestError),
        ("sys.exit(OUT_OF_MEMORY)", RequestError),
        ("signal.pause()", RequestError),
        ("os.kill(os.getpid(), signal.SIGSTOP), 'or pause'", EngineError),
    ],
)
def test_how_the_process_ends_says_whose_fault_it_is(
    stand_in: Callable[[str], TemplateProcess], monkeypatch: pytest.MonkeyPatch, last: str, error: type[Exception]
) -> None:
    template = stand_in(WORKS + ENDS + last)
    monkeypatch.setattr(module, "TRIES", 1)
    if "pause" in last:
        monkeypatch.setattr(module, "WALL_SECONDS", 3.0)
    with pytest.raises(error) as caught:
        render(template)
    assert type(caught.value) is error
    assert (template._rests_until > 0) == (error is RequestError), "only the template's own doing counts"
    assert template._process is None


@pytest.mark.parametrize(
    ("executable", "found"),
    [("", "bin/python3"), ("/opt/triton_python_backend_stub", "bin/python3"), (None, "python")],
)
def test_the_interpreter_is_found_inside_of_another_program(
    monkeypatch: pytest.MonkeyPatch, executable: str | None, found: str
) -> None:
    if executable is not None:
        monkeypatch.setattr("sys.executable", executable)
    assert found in limited_process._python()


def test_messages_between_the_processes() -> None:
    stream = io.BytesIO(frame({"a": "é"}) + frame([1]))
    assert [read(stream), read(stream), read(stream)] == [{"a": "é"}, [1], None]
    asked = {"messages": CHAT, "enable_thinking": False, "tools": None}
    assert answer(ChatTemplate("{{ messages[0].role }}", {}), asked) == {"text": "user"}
    refused = answer(ChatTemplate("{{ raise_exception('no') }}", {}), asked)["refused"]
    assert refused == "could not be rendered by the chat template: no"
