"""What the programs of adapters are called with."""

from __future__ import annotations

from pathlib import Path

import pytest
from trimode_train.adapter.command import recipe_parser, run_parser


def test_every_program_takes_a_recipe_and_a_folder() -> None:
    found = recipe_parser("answers", "Answer.").parse_args(["r.yaml", "--out", "here"])
    assert vars(found) == {"recipe": Path("r.yaml"), "out": Path("here")}


def test_a_run_takes_its_limits_too_and_is_called_by_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    parser = run_parser("draft_adapter", "Train.")
    found = parser.parse_args(["r.yaml", "--resume", "--minutes", "2.5", "--steps", "3"])
    assert (found.resume, found.minutes, found.steps, found.until, found.out) == (True, 2.5, 3, None, None)
    with pytest.raises(SystemExit):
        parser.parse_args([])
    assert capsys.readouterr().err.startswith("usage: python -m trimode_train.adapter.draft_adapter")
