"""What a TensorRT plan was compiled with and for: kept in the manifest, and held against the device that runs it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from trimode.bundle.compilation import Compilation, Profile
from trimode.bundle.manifest import MANIFEST, PLAN, Manifest
from trimode.errors import BundleError

from tests.support.toy import manifest

STEP = Profile("step", batch=(1, 2, 4), seq=(1, 1, 1), rows=(0, 1, 1), length=(1, 64, 512))
BLOCK = Profile("block", batch=(1, 2, 4), seq=(1, 8, 8), rows=(0, 8, 8), length=(1, 64, 512))
COMPILED = Compilation("tensorrt_rtx", "1.7.1.116", ("8.6", "8.9"), (STEP, BLOCK))


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    (tmp_path / PLAN).write_bytes(b"12345")
    changes: dict[str, Any] = {"runtime": "tensorrt", "kv_form": "scatter", "precision": "fp8", "files": {PLAN: 5}}
    dataclasses.replace(manifest(), compiled=COMPILED, **changes).save(tmp_path)
    return tmp_path


def check(bundle: Path, **changes: str) -> None:
    device = {"flavour": "tensorrt_rtx", "version": "1.7.1.116", "compute_capability": "8.9"} | changes
    Manifest.load(bundle).check_device(bundle, **device)


def refusal(bundle: Path, **changes: str) -> str:
    with pytest.raises(BundleError) as caught:
        check(bundle, **changes)
    text = str(caught.value)
    assert "trimode_convert CHECKPOINT" in text
    return text


def test_what_is_saved_is_loaded(bundle: Path) -> None:
    assert Manifest.load(bundle).compiled == COMPILED


def test_the_device_it_was_compiled_for_is_accepted(bundle: Path) -> None:
    check(bundle)
    check(bundle, compute_capability="8.6")


def test_another_version_is_refused_with_both_and_how_to_rebuild(bundle: Path) -> None:
    text = refusal(bundle, version="1.8.0.1")
    assert "version: the plan was compiled by tensorrt_rtx 1.7.1.116, this is 1.8.0.1" in text
    assert f"--out {bundle} --target tensorrt --precision fp8 --capacity 512" in text


def test_another_compute_capability_is_refused(bundle: Path) -> None:
    text = refusal(bundle, compute_capability="9.0")
    assert "compute capability: the plan was compiled for 8.6, 8.9, this GPU has 9.0" in text


def test_the_other_flavour_is_refused(bundle: Path) -> None:
    assert "compiled by tensorrt_rtx, this runtime is tensorrt" in refusal(bundle, flavour="tensorrt")


def test_cut_plan_is_refused(bundle: Path) -> None:
    (bundle / PLAN).write_bytes(b"1234")
    text = refusal(bundle)
    assert f"{PLAN} has 4 bytes, expected 5" in text
    assert "--target tensorrt --precision fp8" in text


def test_missing_plan_is_refused(bundle: Path) -> None:
    (bundle / PLAN).unlink()
    assert f"{PLAN} is missing" in refusal(bundle)


def test_bundle_without_a_plan_has_none_to_run(tmp_path: Path) -> None:
    manifest().save(tmp_path)
    assert f"holds no {PLAN}" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("flavour",), "trt", "compiled.flavour: expected one of ['tensorrt', 'tensorrt_rtx'], found 'trt'"),
        (("version",), 11, "compiled.version: expected text, found 11"),
        (("compute_capabilities",), [], "compiled.compute_capabilities: expected a list of texts, found []"),
        (("profiles",), {}, "compiled.profiles: expected a list, found {}"),
        (("profiles", 1, "seq"), [1, 9, 8], "compiled.profiles[1].seq: expected [least, tuned for, most]"),
        (("profiles", 0, "name"), None, "compiled.profiles[0].name: expected text, found None"),
        (("colour",), "red", "compiled: expected an object with"),
    ],
)
def test_malformed_facts_are_named(bundle: Path, path: tuple[Any, ...], value: Any, words: str) -> None:
    raw = json.loads((bundle / MANIFEST).read_text())
    place = raw["compiled"]
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    (bundle / MANIFEST).write_text(json.dumps(raw))
    assert words in refusal(bundle)


def test_plan_without_its_facts_is_refused(bundle: Path) -> None:
    raw = json.loads((bundle / MANIFEST).read_text())
    raw["compiled"] = None
    (bundle / MANIFEST).write_text(json.dumps(raw))
    assert "compiled: missing" in refusal(bundle)


def test_facts_without_a_plan_are_refused(bundle: Path) -> None:
    raw = json.loads((bundle / MANIFEST).read_text())
    raw["files"] = {}
    (bundle / MANIFEST).write_text(json.dumps(raw))
    assert f"compiled: given, but files has no {PLAN}" in refusal(bundle)


@pytest.mark.parametrize(
    ("tokens", "rows", "longest"),
    [(1, 1, 0), (5, 9, 1), (6, 3, 1), (6, 4, 2), (32, 32, 5), (272, 255, 15), (272, 256, 16), (2000, 1024, 32)],
)
def test_the_longest_quadratic_draft_is_what_one_pass_holds(tokens: int, rows: int, longest: int) -> None:
    """L (L + 1) tokens and L * L rows of logits."""
    profile = Profile("block", (1, 1, 1), (1, 1, tokens), (0, 1, rows), (1, 1, 64))
    assert Compilation("tensorrt", "10", ("8.9",), (STEP, profile)).quadratic_length == longest


def test_how_to_build_such_a_plan_again_names_its_sizes() -> None:
    quadratic = Profile("quadratic", (1, 1, 2), (1, 1056, 1056), (0, 1024, 1024), (1, 64, 2048))
    assert COMPILED.options == "--flavour tensorrt_rtx --batch 4 --chunk 8"
    longer = dataclasses.replace(COMPILED, profiles=(STEP, BLOCK, quadratic))
    assert longer.options == "--flavour tensorrt_rtx --batch 4 --chunk 8 --quadratic 32"
