"""The command line, in its own process: exit codes, what it says and where, checks, interruption."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from trimode.bundle import digests
from trimode.bundle.manifest import WEIGHTS, Manifest

from tests.support import checkpoints as factory


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "trimode_convert", *map(str, arguments)]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return factory.write(tmp_path / "some-model")


def test_build_prints_a_summary(checkpoint: Path, tmp_path: Path) -> None:
    done = run(checkpoint, "--out", tmp_path / "out")
    assert (done.returncode, done.stderr) == (0, "")
    parameters = sum(values.size for values in factory.tensors(factory.config()).values())
    for part in ("built", "some-model, float32, capacity 512", f"{parameters:,}", "peak memory", "memory to serve"):
        assert part in done.stdout


def test_second_build_is_up_to_date_and_touches_nothing(checkpoint: Path, tmp_path: Path) -> None:
    run(checkpoint, "--out", tmp_path / "out")
    before = (tmp_path / "out" / WEIGHTS).stat()
    done = run(checkpoint, "--out", tmp_path / "out")
    assert (done.returncode, "up to date" in done.stdout) == (0, True)
    assert (tmp_path / "out" / WEIGHTS).stat().st_ino == before.st_ino


def test_force_builds_again(checkpoint: Path, tmp_path: Path) -> None:
    run(checkpoint, "--out", tmp_path / "out")
    assert "built" in run(checkpoint, "--out", tmp_path / "out", "--force").stdout


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_verify_compares_every_kind_of_pass(checkpoint: Path, tmp_path: Path, precision: str) -> None:
    done = run(checkpoint, "--out", tmp_path / "out", "--verify", "--precision", precision)
    assert (done.returncode, done.stdout.count("ok: max")) == (0, 7)


def test_verify_fails_on_a_wrong_bundle(checkpoint: Path, tmp_path: Path) -> None:
    run(checkpoint, "--out", tmp_path / "out")
    with (tmp_path / "out" / WEIGHTS).open("r+b") as stream:  # same size, other embedding
        stream.write(np.ones(200, np.float32).tobytes())
    digests.write(tmp_path / "out")  # of what was written: the bundle counts as up to date
    done = run(checkpoint, "--out", tmp_path / "out", "--verify")
    assert done.returncode == 1
    assert done.stderr.startswith(
        "error: 7 of 7 checks failed and the bundle was removed, first: causal prefill FAILED"
    )
    assert not (tmp_path / "out").exists()


def test_a_damaged_bundle_is_built_again(checkpoint: Path, tmp_path: Path) -> None:
    run(checkpoint, "--out", tmp_path / "out")
    with (tmp_path / "out" / WEIGHTS).open("r+b") as stream:
        stream.write(np.ones(200, np.float32).tobytes())
    done = run(checkpoint, "--out", tmp_path / "out")
    assert (done.returncode, "built" in done.stdout) == (0, True)


def test_error_is_one_line_without_traceback(checkpoint: Path, tmp_path: Path) -> None:
    path = checkpoint / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    done = run(checkpoint, "--out", tmp_path / "out")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith(f"error: {path}: cut short")
    assert not (tmp_path / "out").exists()


def test_unreadable_kit_is_one_line(checkpoint: Path, tmp_path: Path) -> None:
    done = run(checkpoint, "--out", tmp_path / "out", "--parity-logits", tmp_path / "none.npz")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)


def test_kit_of_another_model_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    ids, logits = np.arange(4), np.zeros((4, 99), np.float32)
    arrays = {
        "ids": ids,
        "cut": np.array(2),
        "causal": logits,
        "causal_chunk": logits,
        "block_ids": ids,
        "block": logits,
    }
    np.savez(tmp_path / "kit.npz", **{f"prompt0_{name}": values for name, values in arrays.items()})
    done = run(checkpoint, "--out", tmp_path / "out", "--parity-logits", tmp_path / "kit.npz")
    assert done.returncode == 1
    assert "prompt0_causal: expected 50 logits a row, found 99" in done.stderr


@pytest.mark.parametrize("capacity", [1, 3, 20])
def test_verify_fits_any_capacity(checkpoint: Path, tmp_path: Path, capacity: int) -> None:
    done = run(checkpoint, "--out", tmp_path / "out", "--verify", "--capacity", capacity)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_capacity_below_the_checkpoints_positions_is_said(tmp_path: Path) -> None:
    folder = factory.write(tmp_path / "long", factory.config(max_position_embeddings=5000))
    said = run(folder, "--out", tmp_path / "out").stdout
    assert "capacity 4096" in said
    assert "of 5000 positions; CAPACITY=n or --capacity n for more" in said
    assert "positions" not in run(folder, "--out", tmp_path / "out", "--capacity", 5000).stdout


def test_wrong_usage_exits_with_2(checkpoint: Path) -> None:
    assert run(checkpoint).returncode == 2


def test_link_as_output_is_followed(checkpoint: Path, tmp_path: Path) -> None:
    run(checkpoint, "--out", tmp_path / "real")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    done = run(checkpoint, "--out", tmp_path / "link", "--precision", "int8")
    assert (done.returncode, (tmp_path / "link").is_symlink()) == (0, True)
    assert Manifest.load(tmp_path / "real").precision == "int8"


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_build_leaves_nothing(tmp_path: Path, kind: signal.Signals) -> None:
    settings = factory.config(hidden_size=512, vocab_size=20_000)  # long enough to be met while writing
    folder = factory.write(tmp_path / "model", settings)
    place = tmp_path / "place"
    process = subprocess.Popen(command(folder, "--out", place / "out"), stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 30
    while not list(place.glob("out.partial-*")) and time.monotonic() < deadline:
        time.sleep(0.001)
    process.send_signal(kind)
    _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (130, "interrupted: no incomplete bundle was left behind\n")
    assert list(place.iterdir()) == []
