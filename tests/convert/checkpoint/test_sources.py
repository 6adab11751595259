"""Round trips: one model as official folder, Llama folder and GGUF gives one and the same bundle, and the same ids."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from trimode.config import ServerConfig
from trimode.runtime import Runtime
from trimode_convert.bundle.onnx_bundle import BundleOptions
from trimode_convert.checkpoint import official_layout, source
from trimode_convert.checkpoint.tensor_file import TensorFile
from trimode_convert.cli import main

from tests.support import llama_checkpoints as factory
from tests.support.onnx_bundles import build

SOURCES: dict[str, Callable[[Path], Path]] = {
    "official": factory.write_official,
    "llama": factory.write_llama,
    "gguf": lambda folder: factory.write_gguf(folder / "m.gguf"),
}
REQUEST = {"text_input": "hello wor", "mode": "autoregressive", "max_tokens": 24, "end_id": 9, "seed": 1}


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("sources")
    for name, write in SOURCES.items():
        build(write(root / name), root / f"bundle-{name}", BundleOptions(name="m", capacity=128))
    return {name: root / f"bundle-{name}" for name in SOURCES}


@pytest.mark.parametrize("file", ["model.onnx", "model.data"])
def test_graph_and_weights_are_the_same_bytes(bundles: dict[str, Path], file: str) -> None:
    graph = {name: (bundle / file).read_bytes() for name, bundle in bundles.items()}
    assert graph["llama"] == graph["official"]
    if file == "model.data":
        assert graph["gguf"] == graph["official"]  # its epsilon, in the graph, is a float32


def test_manifests_differ_in_hash_and_modes_alone(bundles: dict[str, Path]) -> None:
    manifests = {name: json.loads((bundle / "manifest.json").read_text()) for name, bundle in bundles.items()}
    modes = {name: manifest.pop("modes") for name, manifest in manifests.items()}
    causal = ["auto", "autoregressive"]
    assert modes == {"official": [*causal, "diffusion", "self_speculation"], "llama": causal, "gguf": causal}
    for manifest in manifests.values():
        del manifest["checkpoint_hash"], manifest["files"]
    assert manifests["llama"] == manifests["official"] == manifests["gguf"]


def test_greedy_ids_are_the_same(bundles: dict[str, Path]) -> None:
    found = {}
    for name, bundle in bundles.items():
        runtime = Runtime.open(ServerConfig(bundle=bundle, threads=1))
        try:
            found[name] = runtime.generate(REQUEST).token_ids
        finally:
            runtime.close()
    assert len(found["official"]) == 24
    assert found["llama"] == found["official"] == found["gguf"]


def test_an_official_folder_has_nothing_to_spell_and_makes_no_files(tmp_path: Path) -> None:
    files: list[TensorFile] = []
    read = official_layout.read(factory.write_official(tmp_path / "m"), files)
    assert isinstance(read, source.Source)
    assert (read.name, read.spelled("encoder.norm.weight"), read.side_files) == ("m", "encoder.norm.weight", {})
    for file in files:
        file.close()


@pytest.mark.parametrize("name", SOURCES)
def test_the_command_line_converts_every_source(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    source_path = SOURCES[name](tmp_path / name)
    options = ["--out", str(tmp_path / "out"), "--capacity", "128", "--verify"]
    assert main([str(source_path), *options]) == 0
    assert main([str(source_path), *options[:-1]]) == 0
    shown = capsys.readouterr().out
    assert "causal prefill" in shown and "up to date" in shown and "no tokenizer.json" not in shown
