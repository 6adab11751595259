"""A half-written bundle never appears, and nothing that others own is replaced or left behind."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from trimode.bundle.manifest import WEIGHTS, Manifest
from trimode.errors import BundleError, CheckpointError
from trimode_convert.bundle.onnx_bundle import BundleOptions
from trimode_convert.weights import weight_file

from tests.support.arrays import Array
from tests.support.onnx_bundles import build


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, CheckpointError("bad"), OSError(errno.EIO, "broken")])
@pytest.mark.parametrize("had_bundle", [False, True])
def test_interrupted_build_leaves_what_was_there(
    checkpoint: Path, out: Path, monkeypatch: pytest.MonkeyPatch, interruption: Any, had_bundle: bool
) -> None:
    if had_bundle:
        build(checkpoint, out)
    calls = iter(range(100))

    def failing(sink: weight_file.Sink, values: Array, offset: int) -> None:
        if next(calls) == 5:
            raise interruption

    monkeypatch.setattr(weight_file.Sink, "_put", failing)
    with pytest.raises((KeyboardInterrupt, CheckpointError, BundleError)):
        build(checkpoint, out, BundleOptions("int8"))
    assert out.exists() == had_bundle
    if had_bundle:
        assert Manifest.load(out).precision == "float32"


def test_full_disk_is_named(checkpoint: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(BundleError, match=r"bundle: the disk is full \(.* MB free\); nothing was left behind"):
        build(checkpoint, out)


def test_too_little_space_is_refused_before_writing(
    checkpoint: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(out.parent)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=3_000_000))
    with pytest.raises(BundleError, match=r"disk too full: needed 1\d\.\d MB, free 3\.0 MB"):
        build(checkpoint, out)


def test_short_writes_are_continued(checkpoint: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build(checkpoint, out)
    expected = (out / WEIGHTS).read_bytes()
    whole = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda descriptor, data, offset: whole(descriptor, data[:1000], offset))
    build(checkpoint, out)
    assert (out / WEIGHTS).read_bytes() == expected


def test_folder_with_other_files_is_not_replaced(checkpoint: Path, out: Path) -> None:
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    with pytest.raises(BundleError, match="found other files: not replaced"):
        build(checkpoint, out)
    assert (out / "thesis.txt").read_text() == "years of work"


def test_file_in_the_bundles_place_is_refused(checkpoint: Path, out: Path) -> None:
    out.write_text("")
    with pytest.raises(BundleError, match="expected a bundle folder or nothing, found a file"):
        build(checkpoint, out)


def test_place_below_a_file_is_refused(checkpoint: Path, out: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BundleError, match="file, which cannot be written"):
        build(checkpoint, tmp_path / "file" / "bundle")


def dead_process() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_leftovers_of_dead_builds_are_removed(checkpoint: Path, out: Path) -> None:
    (out.parent / f"bundle.partial-{dead_process()}").mkdir()
    build(checkpoint, out)  # the fixture checks that nothing else is left


def test_partial_of_a_living_build_is_left_alone(checkpoint: Path, out: Path) -> None:
    other = out.parent / f"bundle.partial-{os.getppid()}"
    other.mkdir()
    build(checkpoint, out)
    other.rmdir()


def test_bundle_moved_away_by_a_dead_build_comes_back(
    checkpoint: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(checkpoint, out)
    out.rename(out.parent / f"bundle.old-{dead_process()}")
    monkeypatch.setattr(weight_file.Sink, "_put", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        build(checkpoint, out)
    assert Manifest.load(out).model == "some-model"
