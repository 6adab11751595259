"""What a server's process leaves: its log, line by line, and its shared memory."""

from __future__ import annotations

import asyncio
import os
from io import BytesIO
from pathlib import Path

import pytest
from trimode.server import process
from trimode.server.process import LOG_PART, NOISE, clear_shm, forward_log, own_prefix

DEAD = 2**22 + 1  # above the kernel's largest pid


def forwarded(*parts: bytes) -> bytes:
    """Return what is passed on of a log that arrives in these parts."""

    async def run() -> bytes:
        source, sink = asyncio.StreamReader(), BytesIO()
        task = asyncio.create_task(forward_log(source, sink))
        for part in parts:
            source.feed_data(part)
            await asyncio.sleep(0)
        source.feed_eof()
        await task
        return sink.getvalue()

    return asyncio.run(run())


def test_the_lines_around_the_noise_are_passed_on() -> None:
    assert forwarded(b"E before\nW " + NOISE + b": x\nE after\n") == b"E before\nE after\n"


def test_noise_that_arrives_in_two_parts_is_left_out() -> None:
    assert forwarded(b"E before\nW " + NOISE[:9], NOISE[9:] + b"\nE after\n") == b"E before\nE after\n"


def test_last_words_without_an_end_of_line_are_passed_on() -> None:
    assert forwarded(b"one\ntw", b"o") == b"one\ntwo"


def test_a_line_without_end_is_passed_on_in_parts() -> None:
    line = b"x" * (3 * LOG_PART)
    assert forwarded(*(line[at : at + LOG_PART] for at in range(0, len(line), LOG_PART))) == line


@pytest.fixture
def shm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(process, "SHM", tmp_path)
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
