"""Manifest: what is written is read back, and every broken bundle is refused with how to rebuild it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from trimode.api.fields import Mode
from trimode.bundle.manifest import ALL_MODES, CAUSAL_MODES, DRAFTING_MODES, FORMAT_VERSION, MANIFEST, Manifest
from trimode.errors import BundleError

from tests.support.toy import manifest

Edit = Callable[[dict[str, Any]], object]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    (tmp_path / "model.onnx").write_bytes(b"12345")
    dataclasses.replace(manifest(), files={"model.onnx": 5}).save(tmp_path)
    return tmp_path


def edited(bundle: Path, edit: Edit) -> Path:
    raw = json.loads((bundle / MANIFEST).read_text())
    edit(raw)
    (bundle / MANIFEST).write_text(json.dumps(raw))
    return bundle


def refusal(bundle: Path) -> str:
    with pytest.raises(BundleError) as caught:
        Manifest.load(bundle)
    assert "trimode_convert" in str(caught.value)
    return str(caught.value)


def test_what_is_saved_is_loaded(bundle: Path) -> None:
    assert Manifest.load(bundle) == dataclasses.replace(manifest(), files={"model.onnx": 5})


def test_no_manifest(tmp_path: Path) -> None:
    assert "manifest.json is missing" in refusal(tmp_path)


def test_no_folder(tmp_path: Path) -> None:
    assert str(tmp_path / "nowhere") in refusal(tmp_path / "nowhere")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe"])
def test_an_unreadable_manifest(bundle: Path, content: bytes) -> None:
    (bundle / MANIFEST).write_bytes(content)
    assert "cannot be read" in refusal(bundle)


@pytest.mark.parametrize("content", ["[]", "5", "null", "{}"])
def test_a_manifest_of_another_shape(bundle: Path, content: str) -> None:
    (bundle / MANIFEST).write_text(content)
    assert "format_version None" in refusal(bundle)


@pytest.mark.parametrize("version", [FORMAT_VERSION + 1, 0, "1", None])
def test_another_version(bundle: Path, version: object) -> None:
    text = refusal(edited(bundle, lambda raw: raw.update(format_version=version)))
    assert f"format_version {version!r}, this version reads {FORMAT_VERSION}" in text


def test_an_unknown_key(bundle: Path) -> None:
    assert "unknown keys ['colour']" in refusal(edited(bundle, lambda raw: raw.update(colour="red")))


@pytest.mark.parametrize("key", ["vocab_size", "files", "mask_token_id"])
def test_a_missing_key(bundle: Path, key: str) -> None:
    assert f"lacks the keys ['{key}']" in refusal(edited(bundle, lambda raw: raw.pop(key)))


def test_a_missing_file(bundle: Path) -> None:
    (bundle / "model.onnx").unlink()
    assert "model.onnx is missing" in refusal(bundle)


@pytest.mark.parametrize("content", [b"", b"1234", b"123456"])
def test_a_file_of_another_size(bundle: Path, content: bytes) -> None:
    (bundle / "model.onnx").write_bytes(content)
    assert f"has {len(content)} bytes, expected 5" in refusal(bundle)


@pytest.mark.parametrize(
    ("key", "value"),
    [("buckets", 5), ("buckets", []), ("files", ["model.onnx"]), ("vocab_size", "259"), ("capacity", None)],
)
def test_a_value_of_the_wrong_kind(bundle: Path, key: str, value: object) -> None:
    refusal(edited(bundle, lambda raw: raw.update({key: value})))


@pytest.mark.parametrize("buckets", [[64, 100], [512, 64], [64]])
def test_buckets_ascend_to_the_capacity(bundle: Path, buckets: list[int]) -> None:
    refusal(edited(bundle, lambda raw: raw.update(buckets=buckets)))


def test_the_modes_are_those_of_requests() -> None:
    assert set(ALL_MODES) == set(Mode)
    assert {*CAUSAL_MODES} == {Mode.AUTO, Mode.AUTOREGRESSIVE}


def test_a_bundle_without_modes_has_all(bundle: Path) -> None:
    manifest = Manifest.load(edited(bundle, lambda raw: raw.pop("modes")))
    assert manifest.modes == ALL_MODES and manifest.denoises


def test_a_bundle_says_that_its_checkpoint_does_not_denoise(bundle: Path) -> None:
    manifest = Manifest.load(edited(bundle, lambda raw: raw.update(modes=list(CAUSAL_MODES))))
    assert manifest.modes == CAUSAL_MODES and not manifest.denoises


def test_a_bundle_says_that_its_checkpoint_drafts_and_does_not_denoise(bundle: Path) -> None:
    manifest = Manifest.load(edited(bundle, lambda raw: raw.update(modes=list(DRAFTING_MODES))))
    assert set(manifest.modes) == {Mode.AUTO, Mode.AUTOREGRESSIVE, Mode.SELF_SPECULATION} and not manifest.denoises


@pytest.mark.parametrize("modes", [[], ["auto"], ["auto", "autoregressive", "diffusion"], ["auto", 5], "auto"])
def test_other_modes_are_refused(bundle: Path, modes: object) -> None:
    assert "modes" in refusal(edited(bundle, lambda raw: raw.update(modes=modes)))
