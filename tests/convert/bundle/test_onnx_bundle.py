"""The bundle on disk: manifest, side files, when it is rebuilt, and that a half-written one never appears."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import trimode_convert
from trimode.bundle.manifest import (
    CHAT_TEMPLATE,
    EFFORT,
    GENERATION_CONFIG,
    GRAPH,
    MANIFEST,
    TOKENIZER,
    TOKENIZER_CONFIG,
    WEIGHTS,
    Manifest,
)
from trimode.errors import BundleError, CheckpointError
from trimode_convert.bundle.onnx_bundle import (
    BundleDraft,
    BundleOptions,
    buckets,
    code_digest,
    is_up_to_date,
    make_draft,
    own_digest,
    write_bundle,
)
from trimode_convert.checkpoint.checkpoint import Checkpoint
from trimode_convert.weights import weight_file

from tests.support import checkpoints as factory
from tests.support.arrays import Array


def draft_of(folder: Path, options: BundleOptions | None = None) -> BundleDraft:
    """The draft of a bundle; its files are closed, so it can be compared but not written."""
    with Checkpoint.open(folder) as checkpoint:
        return make_draft(checkpoint, options or BundleOptions())


def build(folder: Path, out: Path, options: BundleOptions | None = None) -> BundleDraft:
    with Checkpoint.open(folder) as checkpoint:
        draft = make_draft(checkpoint, options or BundleOptions())
        write_bundle(draft, out)
        return draft


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return factory.write(tmp_path / "some-model", adapter_rank=4)


@pytest.fixture
def out(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "out"
    place.mkdir()
    yield place / "bundle"
    assert [entry.name for entry in place.iterdir() if entry.name != "bundle"] == []  # nothing else is ever left


def test_manifest_states_the_checkpoints_facts(checkpoint: Path, out: Path) -> None:
    build(checkpoint, out)
    manifest = Manifest.load(out)
    with Checkpoint.open(checkpoint) as opened:
        expected_hash = opened.hash()
    assert manifest == Manifest(
        model="some-model",
        runtime="onnxruntime",
        runtime_version=onnxruntime.__version__,
        kv_form="delta",
        precision="float32",
        capacity=512,
        buckets=(64, 128, 256, 512),
        num_layers=2,
        num_kv_heads=2,
        head_dim=8,
        hidden_size=24,
        vocab_size=50,
        block_size=8,
        mask_token_id=3,
        eos_token_id=2,
        bos_token_id=1,
        adapter=True,
        checkpoint_hash=expected_hash,
        converter=own_digest(),
        files={name: (out / name).stat().st_size for name in (GRAPH, WEIGHTS)},
    )


@pytest.mark.parametrize(
    ("capacity", "expected"),
    [(64, (64,)), (50, (50,)), (65, (64, 65)), (300, (64, 128, 256, 300)), (256, (64, 128, 256))],
)
def test_buckets_are_powers_of_two_and_the_capacity(capacity: int, expected: tuple[int, ...]) -> None:
    assert buckets(capacity) == expected


def test_default_capacity_is_at_most_4096(tmp_path: Path) -> None:
    folder = factory.write(tmp_path, factory.config(max_position_embeddings=262144))
    assert draft_of(folder).manifest.capacity == 4096


@pytest.mark.parametrize("capacity", [0, 513])
def test_capacity_outside_the_models_positions_is_refused(checkpoint: Path, capacity: int) -> None:
    with pytest.raises(CheckpointError, match=f"capacity: expected 1 to 512 .*, found {capacity}"):
        draft_of(checkpoint, BundleOptions(capacity=capacity))


def test_name_can_be_given(checkpoint: Path) -> None:
    assert draft_of(checkpoint, BundleOptions(name="nano")).manifest.model == "nano"


@pytest.mark.parametrize("name", [TOKENIZER, TOKENIZER_CONFIG, CHAT_TEMPLATE, GENERATION_CONFIG, EFFORT])
def test_side_files_travel_unchanged(checkpoint: Path, out: Path, name: str) -> None:
    (checkpoint / name).write_text('{"é": 1}\n')
    build(checkpoint, out)
    assert (out / name).read_bytes() == (checkpoint / name).read_bytes()
    assert name in Manifest.load(out).files


@pytest.mark.parametrize(
    "template", ["{{ x }}", [{"name": "tool", "template": "no"}, {"name": "default", "template": "{{ x }}"}]]
)
def test_template_inside_the_tokenizer_config_becomes_a_file(checkpoint: Path, out: Path, template: Any) -> None:
    (checkpoint / TOKENIZER_CONFIG).write_text(json.dumps({"chat_template": template}))
    build(checkpoint, out)
    assert (out / CHAT_TEMPLATE).read_text() == "{{ x }}"


def test_template_file_wins_over_the_tokenizer_config(checkpoint: Path, out: Path) -> None:
    (checkpoint / TOKENIZER_CONFIG).write_text(json.dumps({"chat_template": "old"}))
    (checkpoint / CHAT_TEMPLATE).write_text("new")
    build(checkpoint, out)
    assert (out / CHAT_TEMPLATE).read_text() == "new"


def test_finished_bundle_is_up_to_date(checkpoint: Path, out: Path) -> None:
    assert is_up_to_date(build(checkpoint, out), out)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the converter's code, to be changed."""
    return Path(shutil.copytree(Path(trimode_convert.__file__).parent, tmp_path / "elsewhere" / "trimode_convert"))


def test_digest_does_not_depend_on_where_the_package_lies(package: Path) -> None:
    assert code_digest(package) == own_digest()


@pytest.mark.parametrize("file", ["cli.py", "weights/rounding.py", "graph/__init__.py"])
def test_digest_covers_the_files_of_every_folder(package: Path, file: str) -> None:
    (package / file).write_text((package / file).read_text() + "# changed\n")
    assert code_digest(package) != own_digest()


def test_digest_covers_new_moved_and_removed_files(package: Path) -> None:
    before = code_digest(package)
    (package / "graph" / "new.py").write_text("")
    with_new = code_digest(package)
    (package / "graph" / "new.py").rename(package / "weights" / "new.py")
    moved = code_digest(package)
    (package / "weights" / "new.py").unlink()
    assert len({before, with_new, moved}) == 3
    assert code_digest(package) == before


def test_two_builds_are_the_same_bytes(checkpoint: Path, out: Path, tmp_path: Path) -> None:
    build(checkpoint, out)
    build(checkpoint, tmp_path / "again")
    assert all((out / name).read_bytes() == (tmp_path / "again" / name).read_bytes() for name in os.listdir(out))


@pytest.mark.parametrize("options", [BundleOptions("int8"), BundleOptions(capacity=100), BundleOptions(name="other")])
def test_other_options_are_not_up_to_date(checkpoint: Path, out: Path, options: BundleOptions) -> None:
    build(checkpoint, out)
    assert not is_up_to_date(draft_of(checkpoint, options), out)


def test_changed_tokenizer_of_the_same_size_is_not_up_to_date(checkpoint: Path, out: Path) -> None:
    (checkpoint / TOKENIZER).write_text('{"a": 1}')
    build(checkpoint, out)
    (checkpoint / TOKENIZER).write_text('{"a": 2}')
    assert not is_up_to_date(draft_of(checkpoint), out)


@pytest.mark.parametrize("name", [WEIGHTS, GRAPH, MANIFEST])
def test_damaged_bundle_is_not_up_to_date(checkpoint: Path, out: Path, name: str) -> None:
    draft = build(checkpoint, out)
    os.truncate(out / name, 10)
    assert not is_up_to_date(draft, out)


def test_rebuild_replaces_the_bundle(checkpoint: Path, out: Path) -> None:
    build(checkpoint, out)
    build(checkpoint, out, BundleOptions("int8"))
    assert Manifest.load(out).precision == "int8"


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
