"""Which shared memory files are deleted: the server's own and those of the dead, in this PID namespace."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from trimode.server import shared_memory
from trimode.server.shared_memory import clear_shm, close_shm, own_prefix

DEAD = 2**22 + 1  # above the kernel's largest pid


@pytest.fixture
def shm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(shared_memory, "SHM", tmp_path)
    return tmp_path


def test_own_shared_memory_and_that_of_the_dead_is_cleared(shm: Path) -> None:
    mine, dead = own_prefix(), own_prefix().replace(str(os.getpid()), str(DEAD))
    for name in (f"{mine}region", f"{dead}region"):
        (shm / name).touch()
    clear_shm(mine)
    assert list(shm.iterdir()) == []


def test_shared_memory_of_the_living_and_of_other_containers_is_left_alone(shm: Path) -> None:
    namespace = own_prefix().split("_")[1]
    kept = {f"trimode_{namespace}_{os.getppid()}_region", f"trimode_{namespace}0_{DEAD}_region", "other_1_region"}
    for name in kept:
        (shm / name).touch()
    clear_shm(own_prefix())
    assert {file.name for file in shm.iterdir()} == kept


def test_a_prefix_is_not_that_of_a_longer_pid(shm: Path) -> None:
    (shm / f"{own_prefix().rstrip('_')}{os.getppid()}x_region").touch()
    clear_shm(own_prefix())
    assert len(list(shm.iterdir())) == 1


def test_own_shared_memory_is_closed_to_other_users(shm: Path) -> None:
    mine, other = shm / f"{own_prefix()}region", shm / "other_1_region"
    for file in (mine, other):
        file.touch(0o644)
    close_shm(own_prefix())
    assert [oct(file.stat().st_mode & 0o777) for file in (mine, other)] == ["0o600", "0o644"]
