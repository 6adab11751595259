"""The README: short, a command and its answer on the first screen, figures from perf, and nothing that is not there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from trimode_perf.common import PERF, gpu_pages
from trimode_perf.gpu.record import GPU_RESULTS
from trimode_perf.speed import report

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
LINES = README.splitlines()


def test_every_make_target_that_the_readme_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = set(re.findall(r"make ([a-z][a-z-]*)", README)) - {"installs"}
    assert named <= targets


def test_it_is_read_in_a_few_minutes() -> None:
    assert len(LINES) <= 160
    assert len(README.split()) <= 1200
    assert [line for line in LINES if len(line) > 120] == []


def test_the_first_screen_has_a_command_and_an_answer() -> None:
    assert next(at for at, line in enumerate(LINES, 1) if line.startswith("make ")) <= 26
    assert next(at for at, line in enumerate(LINES, 1) if '"text_output"' in line) <= 40


def test_the_first_paragraph_says_what_has_run() -> None:
    assert "GPUs have not been tried" in " ".join(README.split("\n\n")[1].split())


@pytest.mark.parametrize("page", ["README.md", "docs/benchmarks.md"])
def test_the_figures_are_those_that_perf_kept(page: str) -> None:
    """`python -m trimode_perf report` writes them."""
    found = report.read(PERF / "results")
    shown = report.MARKED.search((ROOT / page).read_text(encoding="utf-8"))
    assert shown is not None
    assert shown[0] == report.blocks(found)[page]


@pytest.mark.parametrize("page", ["README.md", "docs/benchmarks.md"])
def test_what_pages_say_of_gpus_is_what_perf_kept(page: str) -> None:
    """`python -m trimode_perf report` writes that too."""
    text = (ROOT / page).read_text(encoding="utf-8")
    assert gpu_pages.MARKED.search(text)
    assert gpu_pages.filled(text, gpu_pages.results(GPU_RESULTS)) == text
