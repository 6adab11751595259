"""The reaper: what it ends and deletes when the process that started it dies, and what it leaves alone otherwise."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from trimode.errors import ServeError
from trimode.server.launch.reaper import Reaper

from tests.faults.left import started_with
from tests.server.server import runs, wait_until

pytestmark = pytest.mark.subprocess
KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from trimode.server.launch.reaper import WAITING, Reaper

async def main(base, moment):
    async with Reaper() as reaper:
        if moment == "before anything": die()
        reaper.folder(base / "folder")
        reaper.files(base / "file_")
        if moment == "before the folder": die()
        (base / "folder").mkdir()
        (base / "folder" / "inner").touch()
        (base / "file_1").touch()
        if moment == "before the process": die()
        command = "/bin/sh", "-c", WAITING, "x", "/bin/sh", "-c", f"sleep 600 & echo > {base}/ran; wait"
        made = await asyncio.create_subprocess_exec(*command, stdin=-1, start_new_session=True)
        if moment == "before the process is named": die()
        reaper.group(made.pid)
        if moment == "before it may run": die()
        made.stdin.write(b"\\n")
        made.stdin.close()
        while not (base / "ran").exists(): await asyncio.sleep(0.01)
        (base / "ran").unlink()
        die()

def die():
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
"""
MOMENTS = (
    "before anything", "before the folder", "before the process", "before the process is named", "before it may run",
    "in the middle",
)  # fmt: skip


@pytest.mark.parametrize("moment", MOMENTS)
def test_nothing_is_left_at_whatever_moment_the_process_is_killed(tmp_path: Path, moment: str) -> None:
    (tmp_path / "another").touch()
    mark = {"TEST_OF_THE_REAPER": str(tmp_path)}
    command = [sys.executable, "-c", KILLED, str(tmp_path), moment]
    assert subprocess.run(command, env={**os.environ, **mark}, timeout=120).returncode == -signal.SIGKILL
    wait_until(lambda: not started_with("TEST_OF_THE_REAPER", str(tmp_path)), lambda: "a process is left")
    wait_until(lambda: os.listdir(tmp_path) == ["another"], lambda: str(os.listdir(tmp_path)))


def reapers_of_this_process() -> list[psutil.Process]:
    found = []
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):  # it ended while it was looked at; a zombie counts as ended
            if "trimode-reaper" in child.cmdline():
                found.append(child)
    return found


@pytest.mark.parametrize("hurt", [psutil.Process.kill, psutil.Process.terminate, psutil.Process.suspend])
def test_one_that_is_ended_or_stopped_is_replaced_and_its_successor_knows_the_same(
    tmp_path: Path, hurt: Callable[[psutil.Process], None]
) -> None:
    (folder := tmp_path / "folder").mkdir()

    async def run() -> None:
        async with Reaper() as reaper:
            reaper.folder(folder)
            async with asyncio.timeout(60):
                while not (found := reapers_of_this_process()):
                    await asyncio.sleep(0.01)
            (first,) = found
            hurt(first)
            async with asyncio.timeout(60):
                while [one.pid for one in reapers_of_this_process()] in ([first.pid], []):
                    await asyncio.sleep(0.01)
                while runs(first):
                    await asyncio.sleep(0.01)
            assert folder.exists()
            async with asyncio.timeout(60):
                while reaper.process.pid == first.pid:
                    await asyncio.sleep(0.01)
            assert reaper.process.stdin is not None
            reaper.process.stdin.close()  # as if this process had died
            async with asyncio.timeout(60):
                while folder.exists():
                    await asyncio.sleep(0.01)

    asyncio.run(run())
    assert reapers_of_this_process() == []


def test_what_ends_in_order_is_left_alone(tmp_path: Path) -> None:
    (folder := tmp_path / "folder").mkdir()

    async def run() -> None:
        async with Reaper() as reaper:
            reaper.folder(folder)
            reaper.group(None)

    asyncio.run(run())
    assert reapers_of_this_process() == []
    assert folder.exists()


def test_one_that_ends_just_as_the_block_is_left_has_no_successor() -> None:
    async def run() -> None:
        async with asyncio.timeout(60), Reaper() as reaper:
            await asyncio.sleep(0)  # somebody looks after it from now on
            reaper.process.kill()
            await reaper.process.wait()

    asyncio.run(run())
    assert reapers_of_this_process() == []


def test_nothing_is_made_where_no_reaper_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    async def none(*arguments: object, **options: object) -> None:
        raise OSError("Too many open files")

    async def run() -> None:
        async with Reaper():
            raise AssertionError

    monkeypatch.setattr(asyncio, "create_subprocess_exec", none)
    with pytest.raises(ServeError, match="no process can be started: Too many open files"):
        asyncio.run(run())
