"""Old module names work for one release: imports, names, programs; and CHANGELOG.md says where each thing is."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest
from trimode import moved

from tests.support.layout import ROOT


@pytest.mark.parametrize("module", [name for name in moved.MOVED if name != "trimode.auto"])
def test_an_old_module_is_found_and_says_where_it_is_now(module: str) -> None:
    sys.modules.pop(module, None)
    with pytest.warns(DeprecationWarning, match=rf"{module} is now {moved.MOVED[module][0]}"):
        import_module(module)


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
    with pytest.raises(AttributeError, match=r"'trimode.kin' has no attribute 'HOPE'.*trimode.auto.similar_requests"):
        moved.find("trimode.kin", "HOPE")


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
