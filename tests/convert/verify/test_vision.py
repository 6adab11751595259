"""The checks of a bundle's tower pass what is right and refuse what is not."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from trimode.bundle.manifest import TOWER_WEIGHTS
from trimode.errors import CheckpointError
from trimode_convert import cli
from trimode_convert.checkpoint.checkpoint import Checkpoint
from trimode_convert.verify import vision
from trimode_convert.verify.numpy_tower import encode


@pytest.fixture(params=["float32", "int8"])
def bundle(request: pytest.FixtureRequest, vlm_kit: Path, bundle_of: Callable[..., Path]) -> Path:
    return bundle_of(vlm_kit / "checkpoints" / "plain", request.param)


def damaged(bundle: Path, folder: Path) -> Path:
    """Return a copy whose tower has other weights."""
    copy = shutil.copytree(bundle, folder / "copy")
    path = copy / TOWER_WEIGHTS
    content = bytearray(path.read_bytes())
    half = len(content) // 2
    content[half:] = bytes(len(content) - half)
    path.write_bytes(bytes(content))
    return copy


def test_a_right_tower_passes(bundle: Path, vlm_kit: Path) -> None:
    with Checkpoint.open(vlm_kit / "checkpoints" / "plain") as checkpoint:
        outcomes = vision.against_reference(bundle, checkpoint)
    outcomes += vision.against_kit(bundle, vlm_kit / "vision" / "plain.npz")
    assert [outcome.name for outcome in outcomes] == ["3 pictures", "12 pictures of the kit"]
    assert all(outcome.passed for outcome in outcomes), outcomes


def test_a_wrong_tower_does_not(bundle: Path, vlm_kit: Path, tmp_path: Path) -> None:
    copy = damaged(bundle, tmp_path)
    with Checkpoint.open(vlm_kit / "checkpoints" / "plain") as checkpoint:
        outcomes = vision.against_reference(copy, checkpoint)
    outcomes += vision.against_kit(copy, vlm_kit / "vision" / "plain.npz")
    assert not any(outcome.passed for outcome in outcomes), outcomes


def test_the_plain_tower_gives_the_kits_rows(vlm_kit: Path) -> None:
    stored = np.load(vlm_kit / "vision" / "yarn.npz")
    with Checkpoint.open(vlm_kit / "checkpoints" / "yarn") as checkpoint:
        for name in ("tall@1400", "exact@1400", "noisy@1400"):
            ours, expected = encode(checkpoint, stored[f"{name}/pixels"]), stored[f"{name}/features"]
            np.testing.assert_allclose(ours, expected, rtol=0, atol=2e-4 * np.abs(expected).max())


def test_a_text_model_has_nothing_to_check(parity_kit: Path, vlm_kit: Path, bundle_of: Callable[..., Path]) -> None:
    path = parity_kit / "checkpoints" / "plain"
    with Checkpoint.open(path) as checkpoint:
        assert vision.against_reference(bundle_of(path), checkpoint) == []
    with pytest.raises(CheckpointError, match="expected a checkpoint with a tower"):
        vision.against_kit(bundle_of(path), vlm_kit / "vision" / "plain.npz")


def test_another_file_is_refused(bundle: Path, vlm_kit: Path, tmp_path: Path) -> None:
    (tmp_path / "x.npz").write_bytes(b"no")
    with pytest.raises(CheckpointError, match="cannot be read as stored pictures"):
        vision.against_kit(bundle, tmp_path / "x.npz")
    with pytest.raises(CheckpointError, match="expected arrays IMAGE@CAP/pixels"):
        vision.against_kit(bundle, vlm_kit / "logits" / "plain.npz")
    with pytest.raises(CheckpointError, match="expected rows of shapes"):
        vision.against_kit(bundle, vlm_kit / "vision" / "yarn.npz")


def test_the_command_line_runs_all_checks(vlm_kit: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--parity-pictures", str(vlm_kit / "vision" / "yarn.npz"), "--parity-logits"]
    options += [str(vlm_kit / "logits" / "yarn.npz"), "--verify", "--out", str(tmp_path / "bundle")]
    assert cli.main([str(vlm_kit / "checkpoints" / "yarn"), *options]) == 0
    assert "pictures of the kit" in capsys.readouterr().out
