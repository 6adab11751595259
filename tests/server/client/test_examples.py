"""Each example runs as its README says, against the real server, and ends with one line where there is none."""

from __future__ import annotations

import ast
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from trimode_client import InvalidRequestError

from tests.server.sdk import client
from tests.server.server import Server, free_ports, wait_until

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "examples"
TEXTS = EXAMPLES / "texts"
RULE = EXAMPLES / "reveal_rules" / "every_other.py"
SCRIPTS = sorted(path.name for path in EXAMPLES.glob("*.*") if path.suffix in (".py", ".sh"))
SEEING = "read_picture.py"
"""The one whose server must see: test_picture_example.py asks it."""
OF_NANO = [name for name in SCRIPTS if name != SEEING]
ARGUMENTS = {
    "infill.py": [str(TEXTS / "marks.json")],
    SEEING: [str(ROOT / "docs" / "images" / "picture-word.png"), "What is it?"],
    "revise_file.py": [str(TEXTS / "wrong.json")],
    "tritonclient_only.py": ["hello"],
    "watch_blocks.py": ["hello"],
}
"""What a script cannot do without."""
QUESTION = "What is 23 + 2221?"
INSTRUCTION = ["--instruction", (TEXTS / "question.txt").read_text(encoding="utf-8")]
RIGHT = '{\n  "name": "Anna Rossi",\n  "age": 24,\n  "city": "Lima",\n  "job": "sailor"\n}'
SECONDS = 120  # for one command; each takes a few

ROW = re.compile(r"^\| \[(\S+)\]\(\S+\) \|.*\| `(.+)` \| `(.+)` \|$", re.MULTILINE)
ROWS = ROW.findall((EXAMPLES / "README.md").read_text(encoding="utf-8"))
"""File, command and a line of its output, of each row of the README."""


def url_of(server: Server, name: str) -> str:
    return f"127.0.0.1:{server.http_port if name.endswith('.sh') else server.grpc_port}"


def environment(url: str) -> dict[str, str]:
    return {**os.environ, "TRIMODE_URL": url, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def command(name: str, *arguments: str) -> list[str]:
    return ["bash" if name.endswith(".sh") else sys.executable, str(EXAMPLES / name), *arguments]


def run(name: str, url: str, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(name, *arguments), env=environment(url), input=text, capture_output=True, text=True, timeout=SECONDS
    )


def good(server: Server, name: str, *arguments: str, text: str = "") -> str:
    """Run an example that must end well, and return what it prints."""
    shown = run(name, url_of(server, name), *arguments, text=text)
    assert (shown.returncode, shown.stderr) == (0, "")
    return shown.stdout


def test_every_example_has_a_row_in_the_readme() -> None:
    files = [path for path in EXAMPLES.rglob("*.*") if path.suffix in (".py", ".sh")]
    assert {name for name, _, _ in ROWS} == {str(path.relative_to(EXAMPLES)) for path in files}


@pytest.mark.parametrize(
    ("name", "line", "output"), [pytest.param(*row, id=row[0]) for row in ROWS if row[0] in OF_NANO]
)
def test_the_readmes_command_prints_the_readmes_output(server: Server, name: str, line: str, output: str) -> None:
    environ = environment(url_of(server, name))
    shown = subprocess.check_output(["bash", "-c", line], cwd=ROOT, env=environ, text=True, timeout=SECONDS)
    assert output in [printed.strip() for printed in shown.splitlines()]


@pytest.mark.parametrize("name", SCRIPTS)
def test_without_a_server_one_line_says_so(name: str) -> None:
    nobody = f"127.0.0.1:{free_ports(1)[0]}"
    shown = run(name, nobody, *ARGUMENTS.get(name, ()), text="hello\n")
    assert (shown.returncode, shown.stdout) == (1, "")
    assert re.fullmatch(rf"{re.escape(name)}: .*{nobody}.*\n", shown.stderr)


@pytest.mark.parametrize("name", OF_NANO)
def test_the_address_can_be_given(server: Server, name: str) -> None:
    url = ["--url", url_of(server, name)]
    assert run(name, "127.0.0.1:1", *url, *ARGUMENTS.get(name, ()), text="hello\n").returncode == 0


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("*.py")), ids=lambda path: path.name)
def test_an_example_imports_what_its_reader_has_installed(path: Path) -> None:
    """The client alone; the reveal rule runs where the server does."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    known = r"trimode_client|trimode\.(api|errors)\b.*|rich\..*|tritonclient\..*"
    if path.name == "tritonclient_only.py":
        known += "|numpy"  # which tritonclient takes tensors from, and brings
    elif path == RULE:
        known = r"numpy|trimode\.decoding\..*"
    outside = {name for name in names if name.split(".")[0] not in sys.stdlib_module_names}
    assert {name for name in outside if not re.fullmatch(known, name)} == set()


def test_curl_gets_an_answer_from_each_mode_and_a_stream(server: Server) -> None:
    shown = good(server, "curl.sh")
    assert len(re.findall(r'^\{.*"num_output_tokens":83,.*Answer: 2244"\}$', shown, re.MULTILINE)) == 4
    assert len(re.findall("^data: ", shown, re.MULTILINE)) > 1
    assert shown.endswith('top_p must be between 0.0 and 1.0, got 1.5"}\n400\n')


def test_the_chat_sends_its_history(server: Server) -> None:
    def prompt_tokens(lines: str) -> float:
        server.settle()
        before = server.metric("trimode_prompt_tokens_total")
        good(server, "chat.py", text=lines)
        server.settle()
        return server.metric("trimode_prompt_tokens_total") - before

    assert prompt_tokens("hello\nhello\n") > 2 * prompt_tokens("hello\n")


def test_the_chat_ends_at_ctrl_c(server: Server) -> None:
    with subprocess.Popen(
        command("chat.py"),
        env={**environment(url_of(server, "chat.py")), "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write("hello\n")
        process.stdin.flush()
        assert process.stdout.readline() == "Hello! How can I help you?\n"
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=SECONDS) == ("\n", "")
    assert process.returncode == 0


def test_every_mark_is_filled(server: Server) -> None:
    assert good(server, "infill.py", str(TEXTS / "marks.json"), *INSTRUCTION) == RIGHT


def test_the_cursor_is_where_the_editor_shows_it(server: Server) -> None:
    assert good(server, "infill.py", str(TEXTS / "cursor.json"), "--at", "3:10", *INSTRUCTION) == RIGHT


def test_a_text_without_a_mark_is_refused_in_one_line(server: Server) -> None:
    shown = run("infill.py", url_of(server, "infill.py"), str(TEXTS / "wrong.json"))
    assert (shown.returncode, shown.stdout) == (1, "")
    assert shown.stderr == "infill.py: invalid_value: segments must hold 1 to 16 gaps, got 0 gaps\n"


@pytest.mark.parametrize("flags", [[], ["--in-place"]], ids=["printed", "in place"])
def test_a_file_is_revised(server: Server, tmp_path: Path, flags: list[str]) -> None:
    wrong = (TEXTS / "wrong.json").read_text(encoding="utf-8")
    path = tmp_path / "text.json"
    path.write_text(wrong, encoding="utf-8")
    shown = good(server, "revise_file.py", str(path), *flags, *INSTRUCTION)
    assert '\n-  "age": 42,\n+  "age": 24,\n' in shown
    assert path.read_text(encoding="utf-8") == (RIGHT if flags else wrong)


def test_a_terminal_shows_the_blocks_in_place(server: Server) -> None:
    """On a terminal the cursor goes back up for each pass; at the end the whole answer stands there."""
    ours, theirs = pty.openpty()
    arguments = command("watch_blocks.py", QUESTION, "--delay", "0")
    environ = {**environment(url_of(server, "watch_blocks.py")), "TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
    environ.pop("NO_COLOR", None)
    with subprocess.Popen(arguments, env=environ, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        while part := read(ours):
            shown += part
        assert process.wait(SECONDS) == 0
    os.close(ours)
    up, yellow, dim = "\x1b[1A", "\x1b[33m", "\x1b[2m░"
    text = shown.decode().replace("\r\n", "\n")
    assert up in text and yellow in text and dim in text
    last = text.rpartition("\x1b[2K")[2]
    assert last.startswith("0023 + 2221\n") and "\nAnswer: 2244\n" in last


def read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # the other side is closed
        return b""


def test_tritonclient_shows_the_servers_refusal(server: Server) -> None:
    shown = run("tritonclient_only.py", url_of(server, "tritonclient_only.py"), "hello", "--mode", "fast")
    assert (shown.returncode, shown.stdout) == (1, "")
    assert re.fullmatch(r'tritonclient_only.py: invalid_value: mode must be one of .*, got "fast"\n', shown.stderr)


def test_a_request_that_tritonclient_cancels_ends_on_the_server(server: Server) -> None:
    server.settle()
    before = server.metric("trimode_requests_total", outcome="cancelled")

    def cancelled() -> bool:
        """Ask again until one request was not yet answered as a whole when it was cancelled."""
        arguments = [QUESTION, "--mode", "autoregressive", "--cancel-after", "1"]
        assert good(server, "tritonclient_only.py", *arguments).endswith("\ncancelled after 1 pieces\n")
        server.settle()
        return server.metric("trimode_requests_total", outcome="cancelled") > before

    wait_until(cancelled, lambda: "no request was cancelled")


@pytest.fixture(scope="module", params=["option", "variable"])
def patient_server(request: pytest.FixtureRequest, bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A server that has the example's reveal rule, by its command line or by the environment."""
    options = ["--reveal-rule", str(RULE)] if request.param == "option" else []
    variable = {} if options else {"TRIMODE_REVEAL_RULES": str(RULE)}
    with Server(bundle, tmp_path_factory.mktemp("rule") / "log", *options, **variable) as made:
        yield made


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_rule_of_ones_own_decides_what_a_pass_reveals(patient_server: Server, protocol: Any) -> None:
    """A block of 32 has 31 masked positions, of which each pass leaves at least half."""
    with client(patient_server, protocol) as asked:
        messages = [{"role": "user", "content": QUESTION}]
        own, shipped = (
            asked.generate(messages=messages, mode="diffusion", reveal=rule) for rule in ("every_other", "threshold")
        )
    assert own.text == shipped.text
    assert own.text.endswith("Answer: 2244")
    blocks = own.num_output_tokens // 32
    assert blocks == 2
    assert own.counters["denoise_forwards"] >= 5 * blocks > shipped.counters["denoise_forwards"]
    assert own.params["reveal"] == "every_other"


def test_the_readmes_command_uses_the_rule(patient_server: Server) -> None:
    (row,) = [row for row in ROWS if row[0] not in SCRIPTS]
    environ = environment(f"127.0.0.1:{patient_server.grpc_port}")
    shown = subprocess.check_output(["bash", "-c", row[1]], cwd=ROOT, env=environ, text=True, timeout=SECONDS)
    assert row[2] in shown.splitlines()


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_rule_that_the_server_does_not_have_is_refused_with_those_it_has(
    patient_server: Server, server: Server, protocol: Any
) -> None:
    for asked, names in ((patient_server, "margin, every_other"), (server, "margin")):
        with client(asked, protocol) as one, pytest.raises(InvalidRequestError) as caught:
            one.generate(text_input="Once", mode="diffusion", reveal="other")
        assert str(caught.value).endswith(f'{names}, got "other"')
        assert caught.value.error_type == "invalid_value"


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("mine.py", None, "there is no such file"),
        ("threshold.py", "", "the name threshold is taken by a file that ships with the server"),
        ("mine.py", "RULE = 1", "must define RULE, a trimode.decoding.reveal_rules.base.Rule, got a value of type int"),
    ],
    ids=["missing", "taken", "no rule"],
)
def test_a_server_does_not_start_with_a_file_that_is_no_rule(
    bundle: Path, tmp_path: Path, name: str, text: str | None, expected: str
) -> None:
    path = tmp_path / name
    if text is not None:
        path.write_text(text, encoding="utf-8")
    server = Server(bundle, tmp_path / "log", "--reveal-rule", str(path))
    assert server.wait() == 1
    log = server.log.read_text(encoding="utf-8")
    assert f"bad_config: reveal rule {path}" in log
    assert expected in log
