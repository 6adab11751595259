"""One entry: every measurement by its name, its module imported when it is asked for."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest
from trimode_perf import __main__ as entry

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("command", sorted(entry.COMMANDS))
def test_every_command_has_its_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    if command == "gpu":
        pytest.skip("needs torch; tests/train has it")
    with pytest.raises(SystemExit) as ended:
        entry.main([command, "--help"])
    assert ended.value.code == 0
    assert f"usage: python -m trimode_perf {command} " in capsys.readouterr().out


def test_the_help_lists_every_command_on_a_line() -> None:
    lines = entry.parser().format_help().splitlines()
    for name, (_, what) in entry.COMMANDS.items():
        assert f"  {name:14} {what}" in lines


def test_a_command_that_is_not_known_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        entry.main(["sped"])
    assert "invalid choice: 'sped'" in capsys.readouterr().err


def test_it_needs_nothing_but_python() -> None:
    code = "import trimode_perf.__main__, sys; sys.exit(trimode_perf.__main__.main(['--help']))"
    command = [sys.executable, "-S", "-c", code]
    done = subprocess.run(command, env={"PYTHONPATH": str(ROOT / "perf")}, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_a_command_needs_and_is_not_here_is_named() -> None:
    """In the environment of the unit tests there is no torch at all."""
    command, place = [sys.executable, "-m", "trimode_perf", "gpu"], {"PYTHONPATH": str(ROOT / "perf")}
    done = subprocess.run(command, cwd=ROOT, env=place, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"gpu: needs torch, which {sys.executable} cannot import\n"


def test_a_module_of_ours_that_is_missing_is_a_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(ModuleNotFoundError):
        entry.main(["speed"])
