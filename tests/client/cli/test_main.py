"""The command line against a scripted server."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from typing import Any

import pytest
from trimode.api.fields import Mode
from trimode_client import Completion, Tls
from trimode_client.cli.compare import summarise
from trimode_client.cli.knobs import FLAGS, given_knobs, knobs_of
from trimode_client.cli.main import main, parser

from tests.support.command import run
from tests.support.fake_server import FIRST, LAST, Script, http_server

ANSWER = LAST | {"text_output": "Hello", "effective_params": '{"mode":"diffusion"}'}


def sent(*arguments: str) -> dict[str, Any]:
    script = Script(ANSWER)
    run(script, "generate", *arguments)
    fields: dict[str, Any] = script.requests[0]
    return fields


def test_generate_prints_the_text(capsys: pytest.CaptureFixture[str]) -> None:
    code = run(Script(ANSWER), "generate", "hi")
    assert (code, capsys.readouterr().out) == (0, "Hello\n")


def test_generate_streams_the_text(capsys: pytest.CaptureFixture[str]) -> None:
    run(Script(FIRST, LAST), "generate", "hi", "--stream")
    assert capsys.readouterr().out == "Hello\n"


def test_generate_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    run(Script(ANSWER), "generate", "hi", "--json")
    assert json.loads(capsys.readouterr().out)["counters"] == {"forwards": 2}


def test_generate_streams_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    run(Script(FIRST, LAST), "generate", "hi", "--json", "--stream")
    pieces = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [piece["text"] for piece in pieces] == ["Hel", "lo"]


def test_stats_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    run(Script(ANSWER), "generate", "hi", "--stats")
    assert "diffusion: 3 tokens, 2 forwards" in capsys.readouterr().err


def test_a_prompt_is_a_chat_message_by_default() -> None:
    assert json.loads(sent("hi")["messages"]) == [{"role": "user", "content": "hi"}]


def test_a_raw_prompt_is_plain_text() -> None:
    assert sent("hi", "--raw")["text_input"] == "hi"


def test_a_prompt_can_come_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("from stdin\n"))
    assert sent("-", "--raw")["text_input"] == "from stdin"


def test_short_flags_are_the_wire_names() -> None:
    fields = sent("hi", "--steps", "4", "--block", "16", "--stop", "a", "--stop", "b", "--mode", "diffusion")
    names = ("denoise_steps", "block_length", "stop_words", "mode")
    assert [fields[name] for name in names] == [4, 16, ["a", "b"], "diffusion"]


@pytest.mark.parametrize("name", FLAGS)
def test_a_flag_not_given_leaves_the_field_out(name: str) -> None:
    assert name not in given_knobs(parser().parse_args(["generate", "hi"]))


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["generate", "hi", "--steps", "99"], 2, "trimode: invalid_value: denoise_steps must be between 1 and 64"),
        (["generate", ""], 2, "trimode: the prompt is empty"),
        (["generate", "hi", "--url", "127.0.0.1:9"], 3, "trimode: nobody answers at 127.0.0.1:9"),
        (["health", "--url", "127.0.0.1:9"], 3, "trimode: requests cannot be sent: nobody answers at 127.0.0.1:9"),
    ],
)
def test_an_error_is_one_line_and_a_code(
    arguments: list[str], code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == code
    err = capsys.readouterr().err
    assert err.startswith(line)
    assert err.count("\n") == 1


def test_the_servers_address_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(ANSWER)
    with http_server(script) as url:
        monkeypatch.setenv("TRIMODE_URL", f"http://{url}")
        assert main(["generate", "hi"]) == 0
    assert len(script.requests) == 1


def test_headers_certificates_and_retries_reach_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    class Noted(Exception):
        pass

    def note(*_: object, **options: Any) -> None:
        seen.update(options)
        raise Noted

    monkeypatch.setattr("trimode_client.cli.main.Client", note)
    headers = ["--header", "X-Team: blue", "--header", "x-url:http://a"]
    files = ["--ca-file", "a", "--cert-file", "b", "--key-file", "c"]
    for arguments in ([], [*headers, *files, "--retries", "5"]):
        with pytest.raises(Noted):
            main(["generate", "hi", *arguments])
        if not arguments:
            assert (seen["headers"], seen["tls"], seen["retries"]) == ({}, None, 2)
    assert seen["headers"] == {"X-Team": "blue", "x-url": "http://a"}
    assert (seen["tls"], seen["retries"]) == (Tls("a", "b", "c"), 5)


def test_a_header_without_a_colon_is_refused_and_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["generate", "hi", "--header", "secret"])
    assert caught.value.code == 2
    shown = capsys.readouterr().err
    assert "argument --header: must be NAME:VALUE" in shown
    assert "secret" not in shown


def test_a_wrong_address_is_code_3(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "hi", "--url", "ftp://host"]) == 3
    assert capsys.readouterr().err.startswith("trimode: the address must begin with grpc, grpcs, http, https or a host")


def test_a_server_error_is_code_1() -> None:
    assert run(Script(FIRST, "engine_failed: broken"), "generate", "hi", "--stream") == 1


def test_an_interrupt_is_code_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("trimode_client.client.Client.generate", interrupt)
    assert main(["generate", "hi"]) == 130


def test_chat_keeps_history_changes_mode_and_resets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("one\n/mode diffusion\ntwo\n/reset\nthree\n/quit\nfour\n"))
    monkeypatch.setattr("trimode_client.client.Client.wait_until_ready", lambda *_: None)
    script = Script(FIRST, LAST)
    run(script, "chat")
    contents = [[m["content"] for m in json.loads(fields["messages"])] for fields in script.requests]
    assert contents == [["one"], ["one", "Hello", "two"], ["three"]]
    assert [fields.get("mode") for fields in script.requests] == [None, "diffusion", "diffusion"]


def test_chat_leaves_out_what_a_mode_does_not_have_and_brings_it_back(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("/mode autoregressive\none\n/mode diffusion\ntwo\n"))
    monkeypatch.setattr("trimode_client.client.Client.wait_until_ready", lambda *_: None)
    script = Script(FIRST, LAST)
    run(script, "chat", "--effort", "0.5")
    assert [fields.get("effort") for fields in script.requests] == [None, 0.5]
    assert "mode autoregressive, without effort, which it does not have\n" in capsys.readouterr().out


def test_chat_goes_on_after_an_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("one\ntwo\n"))
    monkeypatch.setattr("trimode_client.client.Client.wait_until_ready", lambda *_: None)
    assert run(Script("overloaded: full"), "chat") == 0
    assert capsys.readouterr().out.count("error: overloaded: full") == 2


def test_compare_asks_in_every_mode_in_turn(capsys: pytest.CaptureFixture[str]) -> None:
    script = Script(ANSWER)
    run(script, "compare", "hi", "--repeat", "1", "--steps", "4")
    assert [fields["mode"] for fields in script.requests] == 2 * [mode.value for mode in Mode]
    assert capsys.readouterr().out.count(" yes\n") == len(Mode)


def test_compare_says_what_applies_to_some_modes_only(capsys: pytest.CaptureFixture[str]) -> None:
    run(Script(ANSWER), "compare", "hi", "--repeat", "1", "--effort", "0.5", "--seed", "1")
    assert [line for line in capsys.readouterr().out.splitlines() if " only" in line] == [
        "effort applies to diffusion only"
    ]


def test_compare_keeps_the_block_knobs_from_autoregressive() -> None:
    assert knobs_of(Mode.AUTOREGRESSIVE, {"denoise_steps": 4, "seed": 1}) == {"seed": 1, "mode": "autoregressive"}


def test_compare_tells_speed_and_difference_against_autoregressive() -> None:
    def answers(text: str, seconds: float) -> list[Completion]:
        return [Completion(text, "stop", 1, 1, seconds=s) for s in (seconds, seconds, 9.0)]

    rows = summarise({Mode.AUTOREGRESSIVE: answers("a", 1.0), Mode.DIFFUSION: answers("b", 0.25)})
    assert [(row.speedup, row.same_text) for row in rows] == [(1.0, True), (4.0, False)]


def shell(script: Script, arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    with http_server(script) as url:
        command = f"{sys.executable} -m trimode_client {arguments} --url {url} --protocol http"
        return subprocess.run(["sh", "-c", command], env=os.environ | environment, capture_output=True, text=True)


def test_what_a_terminal_cannot_show_is_escaped() -> None:
    script = Script(ANSWER | {"text_output": "é"})
    assert shell(script, "generate hi", PYTHONIOENCODING="ascii").stdout == "\\xe9\n"
    assert json.loads(shell(script, "generate hi --json", PYTHONIOENCODING="ascii").stdout)["text"] == "é"


def test_an_output_that_cannot_be_written_is_a_line_and_code_1() -> None:
    told = shell(Script(ANSWER), "generate hi >/dev/full")
    assert (told.returncode, told.stderr) == (1, "trimode: the output cannot be written: No space left on device\n")


def test_a_prompt_that_is_no_text_is_a_line_and_code_2() -> None:
    told = shell(Script(ANSWER), "generate \"$(printf '\\377 hi')\"")
    assert told.returncode == 2
    assert told.stderr == 'trimode: bad_utf8: messages[0].content must be valid Unicode text, got "\\udcff hi"\n'


def test_importing_the_client_loads_no_engine_and_no_numpy() -> None:
    heavy = "{'onnxruntime', 'numpy', 'grpc', 'trimode.scheduling', 'trimode.runtime', 'trimode.decoding'}"
    code = f"import sys, trimode_client.cli.main; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
