"""A server's processes, for which other programs stand here, and its log, line by line."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import socket
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import psutil
import pytest
from trimode.logs.setup import log_to, serve_log
from trimode.server.launch.reaper import Reaper
from trimode.server.launch.triton_log import pass_on
from trimode.server.process import LOG_PART, NOISE, STUB_NAME, Fault, TritonProcess, forward_log
from trimode.server.shared_memory import own_prefix

PATH = {"PATH": "/bin"}
Look = Callable[[TritonProcess, psutil.Process], Awaitable[None]]


def forwarded(*parts: bytes) -> bytes:
    """Return what is passed on of a log that arrives in these parts."""

    async def run() -> bytes:
        source, lines = asyncio.StreamReader(), list[bytes]()
        task = asyncio.create_task(forward_log(source, lines.append))
        for part in parts:
            source.feed_data(part)
            await asyncio.sleep(0)
        source.feed_eof()
        await task
        return b"".join(lines)

    return asyncio.run(run())


@pytest.mark.parametrize("noise", NOISE)
def test_the_lines_around_the_noise_are_passed_on(noise: bytes) -> None:
    assert forwarded(b"E before\nW " + noise + b": x\nE after\n") == b"E before\nE after\n"


@pytest.mark.parametrize("noise", NOISE)
def test_noise_that_arrives_in_two_parts_is_left_out(noise: bytes) -> None:
    assert forwarded(b"E before\nW " + noise[:9], noise[9:] + b"\nE after\n") == b"E before\nE after\n"


def test_last_words_without_an_end_of_line_are_passed_on() -> None:
    assert forwarded(b"one\ntw", b"o") == b"one\ntwo"


def test_a_line_without_end_is_passed_on_in_parts() -> None:
    line = b"x" * (3 * LOG_PART)
    assert forwarded(*(line[at : at + LOG_PART] for at in range(0, len(line), LOG_PART))) == line


def test_a_line_that_cannot_be_passed_on_is_said_and_the_next_one_is_read(caplog: pytest.LogCaptureFixture) -> None:
    taken: list[bytes] = []

    def take(line: bytes) -> None:
        if line == b"odd\n":
            raise TypeError("what is that?")
        taken.append(line)

    async def run() -> None:
        source = asyncio.StreamReader()
        source.feed_data(b"odd\nplain\n")
        source.feed_eof()
        await forward_log(source, take)

    asyncio.run(run())
    assert (taken, [record.getMessage() for record in caplog.records]) == (
        [b"plain\n"],
        ["a line of the log could not be passed on"],
    )


def test_a_log_that_cannot_be_written_is_read_to_its_end_and_serving_goes_on() -> None:
    async def run() -> None:
        source = asyncio.StreamReader()
        source.feed_data(b"one\n" * LOG_PART)
        source.feed_eof()
        await forward_log(source, pass_on)
        assert source.at_eof()

    with Path("/dev/full").open("w", encoding="utf-8") as full:
        handler = log_to(full, "text", "info")
        try:
            asyncio.run(run())
            serve_log.info("nobody reads this")
        finally:
            logging.getLogger().removeHandler(handler)
            with contextlib.suppress(OSError):
                full.close()


def with_stub(folder: Path, look: Look) -> None:
    """Let `look` see a server and its stub, which are a shell and a `sleep` under the stub's name."""

    async def run() -> None:
        command = ["/bin/sh", "-c", f"{folder / STUB_NAME} 60 & exec sleep 60"]
        async with Reaper() as reaper:
            process = await TritonProcess.start(command, PATH, f"{own_prefix()}test_", folder / "scratch", reaper)
            try:
                async with asyncio.timeout(60):
                    while not (found := stubs_of_this_process()):
                        await asyncio.sleep(0.01)
                process.find_stubs()
                assert process.fault() is None
                await look(process, found[0])
            finally:
                await process.kill()
        assert stubs_of_this_process() == []

    (folder / STUB_NAME).symlink_to("/bin/sleep")
    asyncio.run(run())


def test_nothing_is_a_fault_where_no_file_can_be_opened(tmp_path: Path) -> None:
    async def look(process: TritonProcess, stub: psutil.Process) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (1, hard))
        try:
            with pytest.raises(OSError, match="Too many open files"):
                stub.status()
            process.find_stubs()
            found = process.fault()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert found is None
        assert process.fault() is None

    with_stub(tmp_path, look)


def stubs_of_this_process() -> list[psutil.Process]:
    with_parents = psutil.Process().children(recursive=True)
    return [process for process in with_parents if process.is_running() and process.name() == STUB_NAME]


async def first_fault(process: TritonProcess) -> Fault:
    async with asyncio.timeout(60):
        while (fault := process.fault()) is None:
            await asyncio.sleep(0.01)
    return fault


def test_a_stub_that_died_is_a_fault(tmp_path: Path) -> None:
    async def look(process: TritonProcess, stub: psutil.Process) -> None:
        stub.kill()
        assert await first_fault(process) == Fault(f"the backend process {stub.pid} died")

    with_stub(tmp_path, look)


def test_a_stub_that_is_stopped_may_recover(tmp_path: Path) -> None:
    async def look(process: TritonProcess, stub: psutil.Process) -> None:
        stub.suspend()
        assert await first_fault(process) == Fault(f"the backend process {stub.pid} is stopped", may_recover=True)
        stub.resume()
        async with asyncio.timeout(60):
            while process.fault():
                await asyncio.sleep(0.01)

    with_stub(tmp_path, look)


def test_a_server_that_ended_is_a_fault(tmp_path: Path) -> None:
    async def look(process: TritonProcess, stub: psutil.Process) -> None:
        await process.kill()
        assert process.fault() == Fault("tritonserver ended with status -9 (SIGKILL)")
        await process.kill()  # a second time does nothing

    with_stub(tmp_path, look)


def test_another_process_with_the_pid_of_a_stub_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def look(process: TritonProcess, stub: psutil.Process) -> None:
        (known,) = process._stubs
        identity = (stub.pid, 0.0)  # that of a process which started at another time
        monkeypatch.setattr(known, "_ident", identity)
        assert process.fault() == Fault(f"the backend process {stub.pid} died")

    with_stub(tmp_path, look)


def test_what_the_server_makes_is_for_its_user_alone_and_sockets_of_its_predecessor_are_gone(tmp_path: Path) -> None:
    async def run() -> None:
        command = ["/bin/sh", "-c", f"test ! -e {tmp_path}/http && echo > {tmp_path}/made && exec sleep 60"]
        async with Reaper() as reaper:
            process = await TritonProcess.start(command, PATH, f"{own_prefix()}test_", tmp_path, reaper)
            try:
                async with asyncio.timeout(60):
                    while not (tmp_path / "made").exists():
                        await asyncio.sleep(0.01)
            finally:
                await process.kill()

    with closing(socket.socket(socket.AF_UNIX)) as old:
        old.bind(str(tmp_path / "http"))
    asyncio.run(run())
    assert oct((tmp_path / "made").stat().st_mode & 0o777) == "0o600"
