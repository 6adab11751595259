"""Answers as a run's folder keeps them."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from trimode_train.data.answered import Answered, load

ONE = Answered("chat", "hello", 0, 0.7, [1, 2, 3, 4], 2, True)


def test_answers_are_read_and_a_line_that_was_cut_short_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    assert load(path) == []
    path.write_text(json.dumps(asdict(ONE)) + "\n" + '{"kind": "cut sh')
    assert load(path) == [ONE]


def test_a_document_is_the_conversation() -> None:
    assert ONE.reply == [3, 4]
    assert (ONE.document.ids, ONE.document.start, ONE.document.closed) == (ONE.ids, 2, True)
