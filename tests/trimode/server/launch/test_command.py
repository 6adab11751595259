"""What tritonserver is started with, for bundles and repositories under any path."""

from __future__ import annotations

from pathlib import Path

import pytest
from trimode.api.tensors import MODEL_NAME, config_pbtxt
from trimode.bundle.manifest import ALL_MODES
from trimode.server.installation import Installation
from trimode.server.launch import command
from trimode.server.launch.command import Launch
from trimode.server.launch.options import read


def prepared(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    place: Path,
    *given: str,
    gpus: tuple[int, ...] = (),
    modes: tuple[str, ...] = ALL_MODES,
) -> Launch:
    """A launch whose repository and bundle are in `place`, and whose private folder is `folder`."""
    (place / "models" / MODEL_NAME).mkdir(parents=True)
    (place / "models" / MODEL_NAME / "config.pbtxt").touch()
    folder.mkdir()
    installation = Installation(Path("/bin/true"), environment={"HOME": "/nowhere"})
    monkeypatch.setattr(command, "find", lambda folder: installation)
    options = read(given, {})
    return Launch.prepare(options, place / "models", place / "bundle", gpus, folder, modes)


def test_plain_paths_are_given_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = prepared(monkeypatch, tmp_path / "private", tmp_path / "plain")
    assert f"--model-repository={tmp_path}/plain/models" in made.command
    assert made.environment["TRIMODE_BUNDLE"] == f"{tmp_path}/plain/bundle"
    assert made.environment["HOME"] == "/nowhere"


@pytest.mark.parametrize(
    ("given", "tokens", "milliseconds"),
    [
        ((), None, None),
        (("--stream-interval", "8"), "8", None),
        (("--stream-interval-ms", "50"), None, "50"),
        (("--stream-interval", "8", "--stream-interval-ms", "50"), "8", "50"),
    ],
)
def test_how_often_streams_send_is_a_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: tuple[str, ...], tokens: str | None, milliseconds: str
) -> None:
    found = prepared(monkeypatch, tmp_path / "private", tmp_path / "plain", *given).environment
    assert (found.get("TRIMODE_STREAM_INTERVAL"), found.get("TRIMODE_STREAM_INTERVAL_MS")) == (tokens, milliseconds)


@pytest.mark.parametrize("name", ["my project", "prøject"])
def test_other_paths_are_given_as_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    private = tmp_path / "private"
    made = prepared(monkeypatch, private, tmp_path / name)
    assert f"--model-repository={private}/models" in made.command
    assert (private / "models").resolve() == tmp_path / name / "models"
    assert made.environment["TRIMODE_BUNDLE"] == f"{private}/bundle"
    assert (private / "bundle").resolve() == tmp_path / name / "bundle"


def test_triton_listens_on_sockets_unless_it_is_to_listen_on_ports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = prepared(monkeypatch, tmp_path / "a", tmp_path / "one")
    ports = prepared(monkeypatch, tmp_path / "b", tmp_path / "two", "--triton-ports")
    assert (made.ports.sockets, ports.ports.sockets) == (tmp_path / "a", None)
    assert not [argument for argument in made.command if "key" in argument]


def test_gpus_are_numbered_as_nvidia_smi_numbers_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = prepared(monkeypatch, tmp_path / "private", tmp_path / "my project", gpus=(0, 1))
    assert made.environment["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    assert "gpus" in (tmp_path / "private" / "model_repository" / MODEL_NAME / "config.pbtxt").read_text()


def test_a_model_without_all_modes_has_a_config_that_names_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private = tmp_path / "private"
    made = prepared(monkeypatch, private, tmp_path / "place", modes=("auto", "autoregressive"))
    assert f"--model-repository={private}/model_repository" in made.command
    text = (private / "model_repository" / MODEL_NAME / "config.pbtxt").read_text(encoding="utf-8")
    assert text == config_pbtxt((), ("auto", "autoregressive"))
