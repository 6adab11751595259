"""What a TensorRT plan was compiled with and for: kept in the manifest, and held against the device that runs it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from trimode.bundle.compilation import Compilation, Device, Profile
from trimode.bundle.manifest import MANIFEST, PLAN, TOWER_PLAN, Manifest
from trimode.errors import BundleError

from tests.support.pictures import FACTS
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


H100 = Device("NVIDIA H100 80GB HBM3", 132, 85_000_000_000)
H200 = Device("NVIDIA H200", 132, 150_000_000_000)
H20 = Device("NVIDIA H20", 78, 103_000_000_000)
HALF = Device("NVIDIA H100 80GB HBM3 MIG 3g.40gb", 60, 42_000_000_000)
MEMORY_HALF = Device("NVIDIA H200 MIG 7g.141gb", 132, 84_000_000_000)
LARGE_SLICE = Device("NVIDIA H200 MIG 7g.141gb", 132, 149_000_000_000)


def check(bundle: Path, **changes: Any) -> str | None:
    about: dict[str, Any] = {"flavour": "tensorrt_rtx", "version": "1.7.1.116", "compute_capability": "8.9"}
    return Manifest.load(bundle).check_device(bundle, **about | {"device": H100} | changes)


def refusal(bundle: Path, **changes: Any) -> str:
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
        (("patches",), {}, "compiled.patches: expected a list, found {}"),
        (("patches",), [[4, 8, 8], [4, 8]], "compiled.patches[1]: expected [least, tuned for, most], found [4, 8]"),
        (("patches",), [[4, 8, 8]], "compiled.patches: given without vision"),
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


def built_on(bundle: Path, device: Device | None) -> Path:
    dataclasses.replace(Manifest.load(bundle), compiled=dataclasses.replace(COMPILED, device=device)).save(bundle)
    assert Manifest.load(bundle).compiled == dataclasses.replace(COMPILED, device=device)
    return bundle


def test_a_bundle_from_before_devices_were_noted_opens_on_any(bundle: Path) -> None:
    raw = json.loads((bundle / MANIFEST).read_text())
    del raw["compiled"]["device"]
    (bundle / MANIFEST).write_text(json.dumps(raw))
    assert [check(bundle, device=device) for device in (H100, HALF, H20)] == [None] * 3


@pytest.mark.parametrize("device", [H100, HALF], ids=str)
def test_the_gpu_or_the_slice_that_it_was_built_on_is_no_other(bundle: Path, device: Device) -> None:
    assert check(built_on(bundle, device), device=device) is None


@pytest.mark.parametrize(("built", "here"), [(H100, H200), (H100, H20), (HALF, H100), (H100, LARGE_SLICE)], ids=str)
def test_another_gpu_that_is_no_smaller_slice_runs_it_and_is_named(bundle: Path, built: Device, here: Device) -> None:
    assert check(built_on(bundle, built), device=here) == f"its kernels were chosen on {built}, this is {here}"


@pytest.mark.parametrize("here", [HALF, MEMORY_HALF], ids=str)
def test_a_slice_with_less_than_it_was_built_on_is_refused(bundle: Path, here: Device) -> None:
    text = refusal(built_on(bundle, H100), device=here)
    assert f"device: its kernels were chosen on {H100}, this is {here}, a slice that is smaller" in text


def test_what_a_device_is_not_is_refused(bundle: Path) -> None:
    good = json.loads((built_on(bundle, H100) / MANIFEST).read_text())
    for change, words in (
        ({"memory": 0}, "compiled.device.memory: expected a positive integer, found 0"),
        ({"multiprocessors": True}, "compiled.device.multiprocessors: expected a positive integer, found True"),
        ({"name": None}, "compiled.device.name: expected text, found None"),
        ({"uuid": "x"}, "compiled.device: expected an object with"),
    ):
        raw = json.loads(json.dumps(good))
        raw["compiled"]["device"] |= change
        (bundle / MANIFEST).write_text(json.dumps(raw))
        with pytest.raises(BundleError, match=words):
            Manifest.load(bundle)


# A tower's plan of its own


def seeing(folder: Path, *files: str, vision: Any = FACTS, patches: Any = ((4, 1024, 4096),)) -> Path:
    for name in files:
        (folder / name).write_bytes(b"12345")
    changes: dict[str, Any] = {"runtime": "tensorrt", "kv_form": "scatter", "files": {name: 5 for name in files}}
    compiled = dataclasses.replace(COMPILED, patches=patches)
    dataclasses.replace(manifest(), compiled=compiled, vision=vision, **changes).save(folder)
    return folder


def test_the_profiles_of_a_tower_are_kept(tmp_path: Path) -> None:
    found = Manifest.load(seeing(tmp_path, PLAN, TOWER_PLAN)).compiled
    assert found is not None and found.patches == ((4, 1024, 4096),)


@pytest.mark.parametrize(
    ("files", "changes", "words"),
    [
        ([PLAN], {}, f"vision: given, but files has no {TOWER_PLAN}"),
        ([PLAN, "vision.onnx"], {}, f"vision: given, but files has no {TOWER_PLAN}"),
        ([PLAN, TOWER_PLAN], {"vision": None}, f"vision: missing, but files has {TOWER_PLAN}"),
        ([PLAN, TOWER_PLAN], {"patches": ()}, f"compiled.patches: empty, but files has {TOWER_PLAN}"),
    ],
)
def test_a_towers_plan_facts_and_profiles_agree(
    tmp_path: Path, files: list[str], changes: dict[str, Any], words: str
) -> None:
    assert words in refusal(seeing(tmp_path, *files, **changes))


def test_a_bundle_from_before_towers_had_plans_opens(bundle: Path) -> None:
    raw = json.loads((bundle / MANIFEST).read_text())
    del raw["compiled"]["patches"]
    (bundle / MANIFEST).write_text(json.dumps(raw))
    assert Manifest.load(bundle).compiled == COMPILED


def test_a_call_reads_at_most_a_row_of_pictures_for_each_token() -> None:
    assert (STEP.images, BLOCK.images) == ((1, 1, 4), (1, 1, 32))
