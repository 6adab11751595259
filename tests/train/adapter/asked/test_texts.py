"""Wordings and subjects are read from their files, and a name without any is an error."""

from __future__ import annotations

import pytest
from trimode_train.adapter.asked import KINDS
from trimode_train.adapter.asked.texts import subjects, worded


def test_no_list_has_a_text_twice() -> None:
    for name in ("things", "actions", "feelings", "heroes", "tasks", "sentences", "goods"):
        assert len(set(subjects(name))) == len(subjects(name)) > 10
    for kind in KINDS.values():
        assert len(set(kind.wordings)) == len(kind.wordings)


def test_a_name_without_texts_is_an_error() -> None:
    with pytest.raises(KeyError):
        subjects("nobody")
    with pytest.raises(KeyError):
        worded("nobody", lambda rng: ("", {}))
