"""Old module names work for one release: imports, names, programs; and CHANGELOG.md says where each thing is."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from trimode import moved
from trimode.auto.tuning import TUNING
from trimode.moved import finder, tables

from tests.support.layout import ROOT

OLD_NAMES: dict[str, list[str]] = json.loads(Path(__file__).with_name("old_names.json").read_text(encoding="utf-8"))
"""Public names by module, at 0.1.0."""


@pytest.mark.parametrize("module", [name for name in moved.MOVED if name != "trimode.auto"])
def test_an_old_module_is_found_and_says_where_it_is_now(module: str) -> None:
    sys.modules.pop(module, None)
    with pytest.warns(DeprecationWarning, match=rf"{module} is now {moved.MOVED[module][0]}"):
        import_module(module)


def test_a_module_that_is_a_package_now_warns_when_an_old_name_is_taken_from_it() -> None:
    with pytest.warns(DeprecationWarning, match=r"trimode\.auto is now trimode\.auto\.chooser"):
        from trimode.auto import Auto
    assert Auto.__module__ == "trimode.auto.chooser"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("module", [name for name in OLD_NAMES if not name.startswith("trimode.triton.")])
def test_every_name_of_0_1_0_is_found_or_named_as_gone(module: str) -> None:
    text = (
        (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").partition("### Names that are gone")[2].partition("###")[0]
    )
    gone = {name for name in OLD_NAMES[module] if f"`{module}.{name}`" in text}
    found = import_module(module)
    assert {name for name in OLD_NAMES[module] if not hasattr(found, name)} <= gone


@pytest.mark.parametrize(("module", "constants"), moved.TUNED.items())
def test_a_constant_of_mode_auto_is_a_field_of_the_tuning(module: str, constants: dict[str, str]) -> None:
    for name, field in constants.items():
        assert moved.find(module, name) == getattr(TUNING, field)


@pytest.mark.parametrize("targets", sorted({place for places in moved.MOVED.values() for place in places}))
def test_every_new_module_exists(targets: str) -> None:
    if not targets.startswith("trimode.triton."):  # these import Triton's own module, which only a stub has
        import_module(targets)


@pytest.mark.parametrize("old", moved.RENAMED)
def test_an_old_name_is_the_new_thing(old: str) -> None:
    module, _, name = old.partition(":")
    target, _, renamed = moved.RENAMED[old].partition(":")
    assert moved.find(module, name) is getattr(import_module(target), renamed)


@pytest.mark.parametrize(
    ("module", "name", "place"),
    [
        ("trimode.output", "Counters", "trimode.api.counters"),
        ("trimode.params", "Defaults", "trimode.api.defaults"),
        ("trimode.stop", "AnswerText", "trimode.text.answer_text"),
        ("trimode.auto", "Auto", "trimode.auto.chooser"),
        ("trimode.modes", "plan", "trimode.decoding.modes.registry"),
        ("trimode_convert.bundling", "write_bundle", "trimode_convert.bundle.onnx_bundle"),
    ],
)
def test_a_name_is_found_wherever_its_module_was_split_to(module: str, name: str, place: str) -> None:
    assert moved.find(module, name) is getattr(import_module(place), name)


def test_what_is_gone_says_where_the_rest_went() -> None:
    with pytest.raises(AttributeError, match=r"'trimode.kin' has no attribute 'NEVER'.*trimode.auto.similar_requests"):
        moved.find("trimode.kin", "NEVER")


@pytest.mark.parametrize(
    "statement", ["from trimode.output import Chunk", "import trimode.modes.diffusion as d; d.plan"]
)
def test_old_imports_work_in_a_fresh_program_and_warn_at_its_own_line(statement: str) -> None:
    done = subprocess.run([sys.executable, "-c", statement], capture_output=True, text=True, check=True)
    assert "<string>:1: DeprecationWarning: trimode." in done.stderr


@pytest.mark.parametrize("program", moved.PROGRAMS)
def test_an_old_program_runs_the_new_one(program: str) -> None:
    arguments = ["0"] if program.endswith("tensors") else ["--help"]
    command = [sys.executable, "-m"]
    old, new = (
        subprocess.run([*command, name, *arguments], capture_output=True, text=True, cwd=ROOT, check=True)
        for name in (program, moved.PROGRAMS[program])
    )
    assert old.stdout == new.stdout
    assert f"{program} is now {moved.PROGRAMS[program]}" in old.stderr


def test_a_star_import_binds_the_old_names() -> None:
    code = "from trimode.kin import *; SimilarRequests; print(Kin.__name__, KEPT)"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "SimilarRequests 256\n"


def test_the_face_gives_the_finder_and_the_tables() -> None:
    assert (moved.find, moved.MOVED) == (finder.find, tables.MOVED)


def test_installing_twice_is_harmless() -> None:
    before = len(sys.meta_path)
    moved.install()
    assert len(sys.meta_path) == before


def test_the_changelog_has_every_old_module() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| `trimode")]
    for old, places in moved.MOVED.items():
        row = next((line for line in rows if line.startswith(f"| `{old}` |")), None)
        assert row is not None, old
        assert all(f"`{place}`" in row for place in places), row
