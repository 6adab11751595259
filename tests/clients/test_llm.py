"""The command `llm`, whose models are described in a file of its user's folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients.clients import ANSWER, KEY, MODES, QUESTION, ClientsServer, need, questions

need("llm")
Run = Callable[..., subprocess.CompletedProcess[str]]


def runner(server: ClientsServer, folder: Path) -> Run:
    """Return what runs `llm` with the models of a server; its last line of output is the error, if it fails."""
    names = {f"nano:{mode}": f"nano:{mode}" for mode in MODES} | {"nano": "nano", "other": "other", "text": "nano"}
    same = {"api_base": server.base, "api_key_name": "trimode"}  # without a name no key is sent
    models = [{"model_id": one, "model_name": name, "completion": one == "text", **same} for one, name in names.items()]
    (folder / "extra-openai-models.yaml").write_text(json.dumps(models))  # JSON is YAML
    environment = {**os.environ, "LLM_USER_PATH": str(folder)}

    def run(*words: str, key: str = "-") -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).with_name("llm")), "prompt", "--key", key, *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)

    return run


@pytest.fixture(scope="module")
def llm(server: ClientsServer, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return runner(server, tmp_path_factory.mktemp("llm"))


@pytest.mark.parametrize(("mode", "more"), zip(MODES, [(), ("--no-stream",)] * 2, strict=True))
def test_a_chat_is_what_generate_gives(server: ClientsServer, llm: Run, mode: str, more: tuple[str, ...]) -> None:
    (question,) = questions(1)
    expected = server.generate(messages=[{"role": "user", "content": question}], mode=mode, max_tokens=160)
    done = llm("-m", f"nano:{mode}", "-o", "max_tokens", "160", *more, question)
    assert (done.returncode, done.stdout) == (0, f"{expected}\n"), done.stderr


def test_options_count_and_the_usage_is_shown(server: ClientsServer, llm: Run) -> None:
    expected = server.generate(
        messages=[{"role": "user", "content": QUESTION}], temperature=0.9, seed=7, stop_words=["write"], max_tokens=60
    )
    options = [("temperature", "0.9"), ("seed", "7"), ("stop", "write"), ("max_tokens", "60")]
    done = llm("-m", "nano", "--usage", *(word for option in options for word in ("-o", *option)), QUESTION)
    assert done.stdout.rstrip("\n") == expected.rstrip("\n")
    assert "Token usage: " in done.stderr


def test_a_conversation_goes_on(server: ClientsServer, llm: Run) -> None:
    first = llm("-m", "nano", "Hello. I am Pedro.").stdout.removesuffix("\n")
    said = ("Hello. I am Pedro.", first, QUESTION)
    messages = [{"role": ("user", "assistant")[at % 2], "content": text} for at, text in enumerate(said)]
    assert llm("-c", QUESTION).stdout == server.generate(messages=messages, max_tokens=400) + "\n"


def test_a_plain_text_goes_on(server: ClientsServer, llm: Run) -> None:
    expected = server.generate(text_input="Once upon", max_tokens=12)
    assert llm("-m", "text", "-o", "max_tokens", "12", "Once upon").stdout == f"{expected}\n"


def test_errors_are_one_line(llm: Run, locked: ClientsServer, tmp_path: Path) -> None:
    done = llm("-m", "other", QUESTION)
    assert done.returncode == 1 and "404 - The model `other` does not exist" in done.stderr
    done = llm("-m", "nano", "-o", "max_tokens", "5000", QUESTION)
    assert done.returncode == 1 and "max_tokens must be at most" in done.stderr
    behind = runner(locked, tmp_path)
    assert "401" in behind("-m", "nano", QUESTION).stderr
    assert behind("-m", "nano", QUESTION, key=KEY).stdout.rstrip().endswith(ANSWER)
