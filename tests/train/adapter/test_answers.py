"""A served model answers prompts: each once, with its own words in a second turn, and a stopped run goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from trimode_convert import cli
from trimode_train.adapter.answers import Answerer, mend, write
from trimode_train.adapter.asked import Asked
from trimode_train.adapter.recipe import AnswerOptions
from trimode_train.data.answered import Answered, load
from trimode_train.training.bar import Bar

from tests.support import llama_checkpoints as factory

pytestmark = pytest.mark.subprocess  # chat templates are rendered in a process of their own

OPTIONS = AnswerOptions(at_once=3, threads=1, max_tokens=6, longest_prompt=120, sampled=0.5)
PROMPTS = [Asked("talk", "w", "s", f"hello {number}", "world" if number == 2 else None) for number in range(6)]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("llama")
    factory.write_llama(folder / "c")
    assert cli.main([str(folder / "c"), "--out", str(folder / "bundle"), "--capacity", "256"]) == 0
    return folder / "bundle"


@pytest.fixture
def answerer(bundle: Path) -> Iterator[Answerer]:
    made = Answerer(bundle, OPTIONS)
    yield made
    made.close()


def test_every_prompt_is_answered_once_and_its_document_is_prompt_and_reply(answerer: Answerer, tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    count = write(answerer, PROMPTS, path, Bar("answers"))
    found = load(path)
    assert len(found) == count
    assert {one.text for one in found} == {asked.text for asked in PROMPTS}
    for one in found:
        reply = one.ids[one.start :]
        assert 1 < len(reply) <= 7
        assert one.closed == (reply[-1] == factory.END)
        assert one.document.start == one.start
        prompt = answerer.tokenizer.decode(one.ids[: one.start], special=True)
        assert prompt.endswith("<|im_start|>assistant\n") and one.text in prompt


def test_a_follow_up_has_the_models_own_answer_before_it(answerer: Answerer) -> None:
    first, second = answerer.answer(PROMPTS[2], 2)
    assert (first.turn, second.turn) == (0, 1)
    reply = answerer.tokenizer.decode(first.ids[first.start :])
    assert reply in answerer.tokenizer.decode(second.ids[: second.start], special=True)


def test_a_stopped_run_goes_on_and_gives_the_same_answers(answerer: Answerer, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole.jsonl", tmp_path / "parts.jsonl"
    write(answerer, PROMPTS, whole, Bar("answers"))
    write(answerer, PROMPTS[:3], parts, Bar("answers"))
    parts.write_text(parts.read_text() + '{"kind": "cut sh')
    write(answerer, PROMPTS, parts, Bar("answers"))

    def by_text(path: Path) -> dict[tuple[str, int], Answered]:
        return {(one.text, one.turn): one for one in load(path)}

    assert by_text(parts) == by_text(whole)


def test_a_file_is_replaced_only_where_a_line_was_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text('{"kind": "a"}\n')
    first = path.stat().st_ino
    mend(path)
    assert (path.stat().st_ino, path.read_text()) == (first, '{"kind": "a"}\n')
    path.write_text('{"kind": "a"}\n{"kind": "cut sh')
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", fail)
        with pytest.raises(OSError, match="crash"):
            mend(path)
    assert path.read_text().endswith("cut sh"), "what is there stays until another file can take its place"
    mend(path)
    assert path.read_text() == '{"kind": "a"}\n'
    assert path.stat().st_ino != first


def fail(path: Path, target: Path) -> Path:
    raise OSError("crash")


def test_a_prompt_that_is_too_long_is_left_out(answerer: Answerer) -> None:
    assert answerer.answer(Asked("talk", "w", "s", "word " * 60), 0) == []


def test_no_file_is_no_answers(tmp_path: Path) -> None:
    assert load(tmp_path / "none") == []
    (tmp_path / "cut").write_text(json.dumps({"kind": "x"})[:5])
    assert load(tmp_path / "cut") == []
