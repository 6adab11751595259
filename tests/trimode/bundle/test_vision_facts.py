"""What a manifest says of a tower is read back, and what cannot be one is named."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from trimode.bundle.manifest import MANIFEST, TOWER_GRAPH, Manifest
from trimode.bundle.vision_facts import VisionFacts
from trimode.errors import BundleError

from tests.support.pictures import FACTS
from tests.support.toy import manifest


def test_what_is_written_is_read_back() -> None:
    assert VisionFacts.parse(json.loads(json.dumps(dataclasses.asdict(FACTS)))) == FACTS
    assert FACTS.cell == 28


def without(name: str) -> Callable[[dict[str, Any]], object]:
    return lambda raw: raw.pop(name)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (without("pad"), "vision: expected an object with"),
        (lambda raw: raw.update(more=1), "vision: expected an object with"),
        (lambda raw: raw.update(side="110"), "vision.side: expected a whole number"),
        (lambda raw: raw.update(side=True), "vision.side: expected a whole number"),
        (lambda raw: raw.update(start=-1), "vision.start: expected a whole number"),
        (lambda raw: raw.update(start=20), r"must be four different ids, got \[20, 19, 20, 21\]"),
    ],
)
def test_what_is_broken_is_named(edit: Callable[[dict[str, Any]], object], said: str) -> None:
    raw = dataclasses.asdict(FACTS)
    edit(raw)
    with pytest.raises(ValueError, match=said):
        VisionFacts.parse(raw)


@pytest.mark.parametrize("raw", [None, 5, [], "text"])
def test_what_is_no_object_is_named(raw: object) -> None:
    with pytest.raises(ValueError, match="vision: expected an object"):
        VisionFacts.parse(raw)


def saved(folder: Path, vision: VisionFacts | None, *files: str) -> Path:
    for name in files:
        (folder / name).write_bytes(b"12345")
    dataclasses.replace(manifest(), vision=vision, files={name: 5 for name in files}).save(folder)
    return folder


def test_a_manifest_keeps_them(tmp_path: Path) -> None:
    assert Manifest.load(saved(tmp_path, FACTS, "model.onnx", TOWER_GRAPH)).vision == FACTS


def test_a_manifest_from_before_towers_has_none(tmp_path: Path) -> None:
    saved(tmp_path, None, "model.onnx")
    raw = json.loads((tmp_path / MANIFEST).read_text())
    del raw["vision"]
    (tmp_path / MANIFEST).write_text(json.dumps(raw))
    assert Manifest.load(tmp_path).vision is None


@pytest.mark.parametrize(
    ("vision", "files", "said"),
    [(FACTS, ["model.onnx"], "vision: given, but"), (None, ["model.onnx", TOWER_GRAPH], "vision: missing, but")],
)
def test_facts_and_files_agree(tmp_path: Path, vision: VisionFacts | None, files: list[str], said: str) -> None:
    with pytest.raises(BundleError, match=said):
        Manifest.load(saved(tmp_path, vision, *files))


def test_ids_are_of_the_vocabulary(tmp_path: Path) -> None:
    far = dataclasses.replace(FACTS, end=manifest().vocab_size)
    with pytest.raises(BundleError, match=f"vision must have ids below vocab_size {far.end}, got {far.end}"):
        Manifest.load(saved(tmp_path, far, "model.onnx", TOWER_GRAPH))
