"""Reveal rules on vectors of three positions, computed by hand."""

from __future__ import annotations

import compileall
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import trimode
import trimode.decoding.reveal as reveal_module
from hypothesis import given
from hypothesis import strategies as st
from trimode.api.fields import REVEALS, SHIPPED_REVEALS
from trimode.decoding.reveal import NEED_LOGITS, RULES, add_rules, load_rule, reveal
from trimode.errors import ConfigError

from tests.support.arrays import Array


def logs(*rows: list[float]) -> Array:
    return np.log(np.array(rows, dtype=np.float32))


def kept(rule: str, chosen: list[float], quota: int, threshold: float | None) -> list[int]:
    """For rules that score by the chosen token's probability."""
    logits = np.zeros((len(chosen), 2), dtype=np.float32)
    found = reveal(rule, lambda: logits, np.array(chosen, dtype=np.float32), quota, threshold)
    return [int(at) for at in np.flatnonzero(found)]


def test_every_file_of_a_rule_is_a_rule() -> None:
    assert set(RULES) == set(REVEALS) >= {"threshold", "steps", "leftmost", "entropy", "margin"}
    assert REVEALS[0] == "threshold"


@pytest.mark.parametrize("compiled", [False, True])
def test_a_new_file_is_a_new_rule_and_stray_files_are_none(tmp_path: Path, compiled: bool) -> None:
    """As in an installation without sources, and in a folder where somebody edits."""
    package = tmp_path / "trimode"
    shutil.copytree(Path(trimode.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    rules = package / "decoding" / "reveal_rules"
    (rules / "mine.py").write_text("from .base import Rule, confidence\nRULE = Rule(confidence)\n", encoding="utf-8")
    for stray in ("x~.py", "entropy copy.py", "entropy.orig.py", ".hidden.py", "notes.txt"):
        (rules / stray).write_text("", encoding="utf-8")
    (rules / ".#entropy.py").symlink_to("nobody@nowhere")
    if compiled:
        assert compileall.compile_dir(package, quiet=2, legacy=True) is not None
        for source in package.rglob("*.py"):
            source.unlink()
    code = "from trimode.decoding.reveal import RULES; print(*RULES)"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    printed = subprocess.check_output([sys.executable, "-c", code], text=True, env=environment, cwd=tmp_path)
    assert printed == "threshold steps leftmost entropy margin mine\n"


MINE = """
from __future__ import annotations
from dataclasses import dataclass
from .base import Rule, confidence
from ..sampling import softmax

@dataclass
class Setting:
    share: float = 0.5

def half(logits, chosen):
    return confidence(logits, chosen) * Setting().share

RULE = Rule(half)
"""


def a_file(folder: Path, text: str, name: str = "mine.py") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_of_ones_own_is_a_rule_by_its_name(tmp_path: Path) -> None:
    rule = load_rule(a_file(tmp_path, MINE))
    assert rule.score(np.zeros((1, 2), dtype=np.float32), np.array([0.5], dtype=np.float32)) == [0.25]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "must define RULE, a trimode.decoding.reveal_rules.base.Rule, got nothing"),
        ("RULE = max", "got a value of type builtin_function_or_method"),
        ("from .base import Rule\nRULE = Rule", "got a value of type type"),
        ("import no_such_package", "cannot be loaded: ModuleNotFoundError: No module named 'no_such_package'"),
        ("RULE = (", "cannot be loaded: SyntaxError"),
    ],
)
def test_a_file_without_a_rule_is_named_in_the_error(tmp_path: Path, text: str, expected: str) -> None:
    path = a_file(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_rule(path)
    assert str(caught.value).startswith(f"reveal rule {path} ")
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("score", "failed"),
    [
        ("logits.max(axis=-1)", "ValueError: "),
        ("logits[:, 0]", "IndexError: "),
        ("logits", r"ValueError: expected scores of shape \(1,\), got \(1, 0\)"),
    ],
)
def test_a_rule_that_looks_at_logits_must_say_so(tmp_path: Path, score: str, failed: str) -> None:
    text = f"from .base import Rule\nRULE = Rule(lambda logits, chosen: {score}{{}})"
    path = a_file(tmp_path, text.format(""))
    with pytest.raises(ConfigError, match=rf"^reveal rule {path}: needs_logits is False.* it gave {failed}"):
        load_rule(path)
    assert load_rule(a_file(tmp_path, text.format(", needs_logits=True"))).needs_logits


def test_files_are_checked_before_one_is_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such file"):
        add_rules([a_file(tmp_path, "raise SystemExit"), tmp_path / "missing.py"])


def test_added_rules_stand_after_the_shipped_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reveal_module, "RULES", dict(RULES))
    monkeypatch.setattr(reveal_module, "NEED_LOGITS", set(NEED_LOGITS))
    looks = MINE.replace("Rule(half)", "Rule(half, needs_logits=True)")
    add_rules([a_file(tmp_path, MINE), a_file(tmp_path, looks, "looks.py")])
    assert list(reveal_module.RULES) == [*SHIPPED_REVEALS, "mine", "looks"]
    assert {*NEED_LOGITS, "looks"} == reveal_module.NEED_LOGITS


def test_the_variable_adds_rules_to_the_process_it_is_set_in(tmp_path: Path) -> None:
    path = a_file(tmp_path, MINE)
    code = (
        "from trimode.api.fields import REVEALS; from trimode.decoding.reveal import RULES, add_rules; add_rules(); "
        "print(*REVEALS, *RULES)"
    )
    environment = {**os.environ, "TRIMODE_REVEAL_RULES": f"{path}{os.pathsep}{path}"}
    printed = subprocess.check_output([sys.executable, "-c", code], text=True, env=environment)
    assert printed.split() == [*SHIPPED_REVEALS, "mine", *SHIPPED_REVEALS, "mine"]


@pytest.mark.parametrize(
    ("chosen", "quota", "threshold", "expected"),
    [
        ([0.5, 0.95, 0.92], 1, 0.9, [1, 2]),
        ([0.5, 0.6, 0.7], 1, 0.9, [2]),
        ([0.5, 0.6, 0.7], 2, 0.9, [1, 2]),
        ([0.95, 0.6, 0.7], 2, 0.9, [0, 2]),
        ([0.5, 0.6, 0.7], 3, 0.9, [0, 1, 2]),
        ([0.5, 0.6, 0.7], 9, 0.9, [0, 1, 2]),
        ([0.5, 0.6, 0.7], 1, 0.0, [0, 1, 2]),
        ([0.5, 0.6, 0.7], 1, 1.0, [2]),
        ([1.0, 0.6, 1.0], 1, 1.0, [0, 2]),
        ([0.5, 0.6, 0.7], 1, None, [2]),
        ([0.5, 0.5, 0.5], 1, None, [0]),
        ([0.5, 0.5, 0.5], 2, None, [0, 1]),
        ([0.9, 0.1, 0.2], 1, 0.9, [0]),
    ],
)
def test_threshold_keeps_the_surest_and_all_above(
    chosen: list[float], quota: int, threshold: float | None, expected: list[int]
) -> None:
    assert kept("threshold", chosen, quota, threshold) == expected


@pytest.mark.parametrize(
    ("chosen", "quota", "threshold", "expected"),
    [
        ([0.95, 0.5, 0.99], 1, 0.9, [0]),
        ([0.95, 0.92, 0.5], 1, 0.9, [0, 1]),
        ([0.5, 0.99, 0.99], 1, 0.9, [0]),
        ([0.5, 0.99, 0.99], 2, 0.9, [0, 1]),
        ([0.95, 0.99, 0.99], 1, 0.9, [0, 1, 2]),
        ([0.95, 0.99, 0.99], 1, None, [0]),
        ([0.5, 0.99, 0.99], 9, None, [0, 1, 2]),
        ([0.1, 0.1, 0.1], 1, 0.0, [0, 1, 2]),
    ],
)
def test_leftmost_keeps_a_run(chosen: list[float], quota: int, threshold: float | None, expected: list[int]) -> None:
    assert kept("leftmost", chosen, quota, threshold) == expected


@pytest.mark.parametrize(("quota", "expected"), [(1, [2]), (2, [1, 2]), (3, [0, 1, 2])])
def test_steps_keeps_the_quota(quota: int, expected: list[int]) -> None:
    assert kept("steps", [0.5, 0.6, 0.7], quota, None) == expected


@pytest.mark.parametrize("rule", ["margin", "entropy"])
def test_the_surest_of_margin_and_entropy(rule: str) -> None:
    logits = logs([0.5, 0.3, 0.2], [0.1, 0.1, 0.8], [0.4, 0.4, 0.2])
    misleading = np.array([0.9, 0.1, 0.8], dtype=np.float32)
    assert np.flatnonzero(reveal(rule, lambda: logits, misleading, 1, None)).tolist() == [1]


@pytest.mark.parametrize("rule", ["threshold", "leftmost", "margin", "entropy"])
def test_threshold_zero_keeps_everything(rule: str) -> None:
    flat = np.zeros((3, 7), dtype=np.float32)
    assert reveal(rule, lambda: flat, np.full(3, 1 / 7, dtype=np.float32), 1, 0.0).all()


@pytest.mark.parametrize("rule", REVEALS)
@given(
    st.lists(st.lists(st.floats(-20, 20, width=32), min_size=4, max_size=4), min_size=1, max_size=6),
    st.integers(1, 8),
    st.none() | st.floats(0, 1),
)
def test_at_least_the_quota_is_kept(rule: str, rows: list[list[float]], quota: int, threshold: float | None) -> None:
    logits = np.array(rows, dtype=np.float32)
    chosen = np.exp(logits.max(axis=-1)) / np.exp(logits).sum(axis=-1)
    kept = reveal(rule, lambda: logits, chosen, quota, threshold)
    assert kept.dtype == bool and kept.shape == (len(rows),)
    assert kept.sum() >= min(quota, len(rows))
    if threshold is None:
        assert kept.sum() == min(quota, len(rows))
