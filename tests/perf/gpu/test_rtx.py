"""What TensorRT-RTX says to a plan that is for other GPUs: its words if it refuses, and no pass if it does not."""

from __future__ import annotations

from pathlib import Path

import pytest
from trimode.bundle.manifest import PLAN
from trimode_perf.gpu import rtx

from tests.support import checkpoints as factory
from tests.support.fake_cuda import FakeCuda
from tests.support.fake_gpu import install, make_bundle

PLACE = "on compute capability 9.0, compiled for 8.6, 8.9"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return make_bundle(factory.write(tmp_path / "checkpoint"), tmp_path)


def test_a_plan_for_this_gpu_is_the_engines_matter(bundle: Path) -> None:
    assert rtx.asked(bundle, "8.9") is None


def test_its_own_words_are_kept_where_it_refuses(bundle: Path) -> None:
    """The real TensorRT-RTX, on the fake's plan, which it can read nowhere."""
    said = rtx.asked(bundle, "9.0")
    assert said is not None and said.startswith(f"refused {PLACE}: {PLAN} cannot be loaded: ")
    assert str(bundle) not in said and "Rebuild" not in said


def test_a_plan_that_is_taken_is_not_run(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, cuda := FakeCuda())
    assert rtx.asked(bundle, "9.0") == f"loaded and not run {PLACE}"
    assert cuda.leaked == []
