"""A checkpoint is read again exactly when one of its files may have changed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from trimode_convert import cli
from trimode_convert.checkpoint import known_hash
from trimode_convert.checkpoint.checkpoint import Checkpoint
from trimode_convert.checkpoint.known_hash import RECORD, recall, remember, state_of

from tests.support import checkpoints as factory

HASHES: list[Path] = []


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint whose files count as settled, and a count of how often it is hashed."""
    folder = factory.write(tmp_path / "checkpoint", shards=2, adapter_rank=2)
    monkeypatch.setattr(known_hash, "SETTLED_SECONDS", 0.0)
    HASHES.clear()
    hashed = Checkpoint.hash

    def counted(self: Checkpoint, advance: Callable[[int], None] = lambda _: None) -> str:
        HASHES.append(self.folder)
        return hashed(self, advance)

    monkeypatch.setattr(Checkpoint, "hash", counted)
    return folder


def build(checkpoint: Path, out: Path, *options: str) -> int:
    return cli.main([str(checkpoint), "--out", str(out), *options])


def test_a_second_build_does_not_read_the_checkpoint(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build(checkpoint, tmp_path / "out") == 0
    capsys.readouterr()
    assert build(checkpoint, tmp_path / "out") == 0
    said = capsys.readouterr().out
    assert "up to date" in said and "not read again (--rehash reads it)" in said
    assert len(HASHES) == 1
    assert build(checkpoint, tmp_path / "out", "--rehash") == 0
    assert len(HASHES) == 2
    assert "not read again" not in capsys.readouterr().out


def rewrite(path: Path) -> None:
    """Other bytes of the same length, with the old time of change: only ctime and the bytes differ."""
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace(path: Path) -> None:
    shutil.copy2(path, path.with_name("copy"))
    path.with_name("copy").replace(path)


@pytest.mark.parametrize("change", [rewrite, replace, Path.touch], ids=["rewritten", "replaced", "touched"])
@pytest.mark.parametrize("name", ["model-00002-of-00002.safetensors", "linear_spec_lora/adapter_model.safetensors"])
def test_a_file_that_may_have_changed_is_read(
    checkpoint: Path, tmp_path: Path, change: Callable[[Path], None], name: str
) -> None:
    assert build(checkpoint, tmp_path / "out") == 0
    change(checkpoint / name)
    assert build(checkpoint, tmp_path / "out") == 0
    assert len(HASHES) == 2


def test_another_checkpoint_is_read(checkpoint: Path, tmp_path: Path) -> None:
    assert build(checkpoint, tmp_path / "out") == 0
    assert build(factory.write(tmp_path / "other"), tmp_path / "out") == 0
    assert len(HASHES) == 2


@pytest.mark.parametrize("record", ["", "[]", "{}", '{"files": [], "hash": "a"}', '{"files": 1, "hash": 1}'])
def test_a_record_that_says_nothing_costs_a_reading(checkpoint: Path, tmp_path: Path, record: str) -> None:
    (tmp_path / RECORD).write_text(record)
    with Checkpoint.open(checkpoint) as opened:
        assert recall(tmp_path, opened.paths) is None


def test_a_file_that_changed_a_moment_ago_is_not_trusted(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_hash, "SETTLED_SECONDS", 1e6)
    with Checkpoint.open(checkpoint) as opened:
        remember(tmp_path, state_of(opened.paths), "a")
        assert recall(tmp_path, opened.paths) is None
        monkeypatch.setattr(known_hash, "SETTLED_SECONDS", 0.0)
        remember(tmp_path, state_of(opened.paths), "a")
        assert recall(tmp_path, opened.paths) == "a"
    assert json.loads((tmp_path / RECORD).read_text())["hash"] == "a"
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint", RECORD]


def test_a_folder_that_cannot_be_written_is_no_fault(checkpoint: Path, tmp_path: Path) -> None:
    with Checkpoint.open(checkpoint) as opened:
        remember(tmp_path / "nowhere", state_of(opened.paths), "a")


def test_a_file_that_changes_while_it_is_read_ends_the_build(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def changing(self: Checkpoint, advance: Callable[[int], None] = lambda _: None) -> str:
        (checkpoint / "config.json").touch()
        return "a"

    monkeypatch.setattr(Checkpoint, "hash", changing)
    assert build(checkpoint, tmp_path / "out") == 1
    assert "a file changed while it was read" in capsys.readouterr().err
