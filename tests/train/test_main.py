"""The program: what it asks, what it says while it prepares, and Ctrl-C anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from trimode_train import __main__ as program
from trimode_train import prepare
from trimode_train.data.recipe import Recipe
from trimode_train.prepare import ROOT, Prepared

RECIPES = sorted((ROOT / "train").glob("nano-*.yaml"))
QUICK = ROOT / "train" / "nano-quick.yaml"


class Trainer:
    """A trainer that does nothing, and notes what it was asked."""

    stopping = False
    asked: Any = None
    interrupted = ""

    def __init__(self, *_: object) -> None:
        self.path = Path("nowhere")

    def run(self, asked: list[Any], steps: int | None) -> None:
        type(self).asked = asked

    def evaluate(self, asked: list[Any]) -> None:
        if self.interrupted == "evaluate":
            raise KeyboardInterrupt


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> type[Trainer]:
    made = type("Own", (Trainer,), {})
    monkeypatch.setattr("trimode_train.training.trainer.Trainer", made)
    monkeypatch.setattr(program, "prepare", lambda folder, recipe: Prepared([], lambda: ["a question"]))  # type: ignore[arg-type, list-item, return-value]
    return made


def run(folder: Path, *options: str) -> int:
    return program.main([str(QUICK), "--out", str(folder), *options])


def test_questions_are_asked_unless_they_are_left_out(tmp_path: Path, trained: type[Trainer]) -> None:
    assert run(tmp_path) == 0
    assert trained.asked == ["a question"]
    assert run(tmp_path, "--no-evaluation") == 0
    assert trained.asked == []


def test_ctrl_c_in_the_evaluation_is_no_traceback(
    tmp_path: Path, trained: type[Trainer], capsys: pytest.CaptureFixture[str]
) -> None:
    trained.interrupted = "evaluate"
    assert run(tmp_path) == 130
    assert capsys.readouterr().err == "interrupted; --resume continues a run that has saved a state\n"


def test_ctrl_c_while_a_run_is_prepared_leaves_nothing_half_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("trimode_train.data.tokenizer.train_tokenizer", interrupted)
    assert run(tmp_path) == 130
    assert "learning a tokenizer of 1,024 tokens" in capsys.readouterr().out
    assert not (tmp_path / "tokenizer.json").exists()
    assert prepare.RUNS == ROOT / "train/runs"


@pytest.mark.parametrize("path", [path for path in RECIPES if path.stem != "nano-adapter"], ids=lambda path: path.stem)
def test_every_recipe_loads(path: Path) -> None:
    assert {recipe.name.split("/")[0] for recipe in Recipe.stages(path)} == {path.stem}


def test_the_quick_recipe_takes_less_than_five_minutes() -> None:
    assert Recipe.load(QUICK).minutes < 5
