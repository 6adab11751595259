"""Which peers can read a checkpoint, and how each is started."""

from __future__ import annotations

from pathlib import Path

import pytest
from trimode_perf.common import NANO
from trimode_perf.peers.peer import LLAMA, OFFICIAL, fitting
from trimode_perf.peers.workers import Workers, commands, cores


def test_every_peer_reads_the_official_layout_and_llama_cpp_alone_the_others(tmp_path: Path) -> None:
    assert fitting(NANO) == [*OFFICIAL, *LLAMA]
    (tmp_path / "model.gguf").touch()
    assert fitting(tmp_path) == fitting(tmp_path / "model.gguf") == [*LLAMA, "llama.cpp, the file itself"]
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    assert fitting(tmp_path) == [*LLAMA]


def test_a_command_names_its_peer_and_the_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = commands(Path("python"), Path("model.gguf"), 3)
    given = ["--threads", "3", "--checkpoint", f"{tmp_path}/model.gguf", "--peer", "llama.cpp F32"]
    assert found["llama.cpp F32"][3:] == given
    assert cores(3) == 3
    assert cores(0) >= 1


@pytest.mark.subprocess
def test_one_that_cannot_start_is_a_failure_and_is_not_asked() -> None:
    with Workers({"it": ["/nowhere/python"]}) as workers:
        assert "cannot be started" in workers.failures["it"]
        assert (workers.modes, workers.timing) == ({}, [])
        assert workers.ask("it", {}, "a pass") is None
