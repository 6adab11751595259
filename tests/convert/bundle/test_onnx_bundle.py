"""The bundle on disk: manifest, side files, and when it is rebuilt."""

from __future__ import annotations

import json
import os
import shutil
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
from trimode.errors import CheckpointError
from trimode_convert.bundle.facts import buckets, code_digest, own_digest
from trimode_convert.bundle.onnx_bundle import BundleDraft, BundleOptions, is_up_to_date, make_draft
from trimode_convert.checkpoint.checkpoint import Checkpoint

from tests.support import checkpoints as factory
from tests.support.onnx_bundles import build


def draft_of(folder: Path, options: BundleOptions | None = None) -> BundleDraft:
    """The draft of a bundle; its files are closed, so it can be compared but not written."""
    with Checkpoint.open(folder) as checkpoint:
        return make_draft(checkpoint, options or BundleOptions())


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
    (checkpoint / name).write_text('{"é": 1, "model": {"vocab": {}}}\n')
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
    (checkpoint / TOKENIZER).write_text('{"model": {"vocab": {"a": 1}}}')
    build(checkpoint, out)
    (checkpoint / TOKENIZER).write_text('{"model": {"vocab": {"a": 2}}}')
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
