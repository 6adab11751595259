"""Recipes under build/: what is wrong with one is a named error, never a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest
from trimode.errors import CheckpointError
from trimode_convert import recipe
from trimode_convert.checkpoint.checkpoint import Checkpoint
from trimode_convert.recipe import arguments_for, load_recipe, main

from tests.support.layout import ROOT

GPU = "{precision: bfloat16, capacity: 4096, batch: 8}"


@pytest.fixture(autouse=True)
def recipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(recipe, "RECIPES", tmp_path)
    (tmp_path / "config.json").write_text("{}")
    return tmp_path


def write(folder: Path, rest: str) -> None:
    (folder / "mine.yaml").write_text(f"checkpoint: {folder}\n{rest}")


def test_a_gpus_entry_becomes_options_of_the_converter(recipes: Path) -> None:
    write(recipes, f"tensorrt: {{H200: {GPU}}}")
    made = arguments_for("mine", "float32", Path("out"), "H200")
    assert made == [
        *(str(recipes), "--out", "out", "--target", "tensorrt", "--gpu", "H200"),
        *("--precision", "bfloat16", "--capacity", "4096", "--batch", "8", "--name", "mine"),
    ]


def test_an_entry_may_say_how_long_quadratic_drafts_may_be(recipes: Path) -> None:
    write(recipes, "tensorrt: {H200: {precision: bfloat16, capacity: 4096, batch: 8, quadratic: 32}}")
    made = arguments_for("mine", "float32", Path("out"), "H200")
    assert made[made.index("--quadratic") + 1] == "32"


def test_a_recipe_needs_no_table_of_gpus(recipes: Path) -> None:
    write(recipes, "capacity: 2048")
    made = arguments_for("mine", "float32", Path("out"))
    assert made == [str(recipes), "--out", "out", "--precision", "float32", "--capacity", "2048", "--name", "mine"]


def test_another_engine_is_another_target(recipes: Path) -> None:
    write(recipes, f"tensorrt: {{H200: {GPU}}}")
    made = arguments_for("mine", "bfloat16", Path("out"), engine="torch")
    assert made[:7] == [str(recipes), "--out", "out", "--precision", "bfloat16", "--target", "torch"]
    with pytest.raises(CheckpointError, match="GPU=H200 builds for TensorRT and ENGINE=torch for another engine"):
        arguments_for("mine", "float32", Path("out"), "H200", engine="torch")


def test_a_capacity_that_is_given_replaces_the_recipes(recipes: Path) -> None:
    write(recipes, f"capacity: 2048\ntensorrt: {{H200: {GPU}}}")
    for gpu in (None, "H200"):
        made = arguments_for("mine", "float32", Path("out"), gpu, capacity=100)
        assert made.count("--capacity") == 1
        assert made[made.index("--capacity") + 1] == "100"
    made = arguments_for(str(recipes), "float32", Path("out"), capacity=100)
    assert made[-2:] == ["--capacity", "100"]


@pytest.mark.parametrize(
    ("rest", "said"),
    [
        ("tensorrt: {H200: {capacity: 4096, batch: 8}}", "needs precision for H200"),
        ("tensorrt: {H200: {precision: bfloat16}}", "needs capacity, batch for H200"),
        ("tensorrt: {H200: }", "needs precision, capacity, batch for H200, got None"),
        ("tensorrt: [H200]", "tensorrt must be a table by GPU"),
        ("tensorrt:", "tensorrt must be a table by GPU, got None"),
        ("tensorrt: {H200: ", "cannot be read as YAML"),
        ("capacity: @", "cannot be read as YAML"),
        ("checkpoint: 3", "checkpoint must be a folder, got 3"),
        ("precision: int8", "may have"),
    ],
)
def test_what_is_wrong_with_a_recipe_is_one_line(
    recipes: Path, capsys: pytest.CaptureFixture[str], rest: str, said: str
) -> None:
    write(recipes, rest)
    assert main(["mine", "--gpu", "H200", "--out", "out"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and "mine.yaml" in line and said in line


def test_a_recipe_that_is_not_utf8_is_one_line(recipes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (recipes / "mine.yaml").write_bytes(b"checkpoint: \xff")
    assert main(["mine", "--out", "out"]) == 1
    assert "mine.yaml cannot be read as YAML" in capsys.readouterr().err


@pytest.mark.parametrize("path", sorted(Path("build").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_shipped_recipes_can_be_read(path: Path) -> None:
    assert load_recipe(path)["checkpoint"].startswith("checkpoints/")


@pytest.mark.parametrize("name", ["nano", "nano-vlm"])
def test_a_checkpoint_that_ships_lies_where_its_recipe_says(name: str) -> None:
    with Checkpoint.open(ROOT / load_recipe(ROOT / "build" / f"{name}.yaml")["checkpoint"]) as checkpoint:
        assert (checkpoint.config.vision is not None) == (name == "nano-vlm")
        assert checkpoint.config.denoises
