"""A checkpoint's path that is no file is refused at once, with what it is."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from trimode.errors import CheckpointError
from trimode_convert import cli
from trimode_convert.checkpoint import plain_file
from trimode_convert.checkpoint.checkpoint import Checkpoint

from tests.support import checkpoints as factory

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


def listen(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind(os.path.relpath(path))


@pytest.mark.parametrize(
    ("make", "what"),
    [(os.mkfifo, "a pipe"), (Path.mkdir, "a folder"), (listen, "a socket")],
    ids=["fifo", "dir", "sock"],
)
@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja"])
def test_what_is_no_file_is_refused(
    tmp_path: Path, make: Callable[[Path], None], what: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = factory.write(tmp_path / "checkpoint")
    (folder / name).unlink(missing_ok=True)
    make(folder / name)
    assert cli.main([str(folder), "--out", str(tmp_path / "out")]) == 1
    assert f"{name}: expected a file, found {what}" in capsys.readouterr().err.replace("\n", "")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_git_lfs_pointer_says_how_to_get_the_file(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = factory.write(tmp_path / "checkpoint")
    (folder / name).write_text(POINTER)
    assert cli.main([str(folder), "--out", str(tmp_path / "out")]) == 1
    assert (
        f"{name}: expected the file itself, found a Git LFS pointer to it: run git lfs pull" in capsys.readouterr().err
    )


def test_devices_and_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="found a device"):
        plain_file.check(Path("/dev/null"))
    with pytest.raises(CheckpointError, match="cannot be read: No such file"):
        plain_file.check(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"num_hidden_layers": 10**6}, "num_hidden_layers: expected a positive integer up to 1024, found 1000000"),
        ({"block_size": 10**9}, "block_size: expected a positive integer up to 65536, found 1000000000"),
        ({"vocab_size": 10**400}, "vocab_size: expected a positive integer up to 16777216"),
        ({"rms_norm_eps": float("nan")}, "rms_norm_eps: expected a positive number, found nan"),
        ({"rms_norm_eps": float("inf")}, "rms_norm_eps: expected a positive number, found inf"),
        ({"rms_norm_eps": 10**400}, "rms_norm_eps: expected a positive number"),
        ({"rope_rope_theta": float("nan")}, "rope_parameters.rope_theta: expected a positive number, found nan"),
        ({"rope_factor": float("inf")}, "rope_parameters.factor: expected a positive number, found inf"),
        ({"rope_mscale": float("nan")}, "rope_parameters.mscale: expected a positive number, found nan"),
        ({"rope_llama_4_scaling_beta": float("nan")}, "llama_4_scaling_beta: expected a positive number, found nan"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_numbers_that_no_model_has(tmp_path: Path, changes: dict[str, object], expected: str) -> None:
    folder = factory.write(tmp_path / "checkpoint")
    (folder / "config.json").write_text(json.dumps(factory.config(**changes)))
    with pytest.raises(CheckpointError) as caught:
        Checkpoint.open(folder)
    assert expected in str(caught.value)
