"""Output into a pipe that nobody reads, and what its reader finds later."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from trimode.server.launch import output
from trimode.server.launch.output import MOST_BYTES, Output

LINE = b"x" * 1023 + b"\n"
SECONDS = 60.0


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Its reading and its writing end."""
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def read_up_to(end: int, last: bytes) -> bytes:
    text = b""
    while not text.endswith(last):
        part = os.read(end, 65536)
        assert part
        text += part
    return text


def test_what_nobody_reads_is_dropped_and_counted(pipe: tuple[int, int]) -> None:
    made = Output(pipe[1])
    for number in range(2 * MOST_BYTES // len(LINE)):
        made.write(b"%6d" % number + LINE[6:])  # with a write that waits, the test would stay here
    assert not made.wait_written(0.01)
    *lines, note = read_up_to(pipe[0], b"read them\n").splitlines()
    assert [int(line[:6]) for line in lines] == list(range(len(lines)))
    assert len(lines) >= MOST_BYTES // len(LINE)
    dropped = 2 * MOST_BYTES // len(LINE) - len(lines)
    assert note == b"trimode-serve: %d lines of the log were dropped, nobody read them" % dropped
    made.write(b"after\n")
    assert read_up_to(pipe[0], b"after\n") == b"after\n"
    assert made.wait_written(SECONDS)


def test_a_full_disk_is_no_accident() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    made = Output(full)
    made.write(LINE)
    assert made.wait_written(SECONDS)
    os.close(full)


def test_a_pipe_that_does_not_block_gets_everything(pipe: tuple[int, int]) -> None:
    os.set_blocking(pipe[1], False)
    made = Output(pipe[1])
    made.write(300 * LINE + b"end\n")
    assert read_up_to(pipe[0], b"end\n") == 300 * LINE + b"end\n"
    assert made.wait_written(SECONDS)


CODE = """
import sys
from trimode.server.launch.output import output_aside

with output_aside():
    print("caf\u00e9")
    print("to operators", file=sys.stderr)
    sys.stderr.buffer.writelines([b"of ", b"Triton\\n"])
    sys.stderr.buffer.flush()
print("after")
"""


def test_all_that_was_printed_has_been_written_when_the_process_ends() -> None:
    ended = subprocess.run([sys.executable, "-c", CODE], capture_output=True, timeout=SECONDS, check=True)
    assert ended.stdout.decode() == "caf\u00e9\nafter\n"
    assert ended.stderr == b"to operators\nof Triton\n"


def test_a_process_ends_though_nobody_reads(pipe: tuple[int, int]) -> None:
    os.set_blocking(pipe[1], False)
    with pytest.raises(BlockingIOError):
        while os.write(pipe[1], LINE):
            pass
    os.set_blocking(pipe[1], True)
    assert (
        subprocess.run(
            [sys.executable, "-c", CODE.partition('print("after')[0]], stdout=pipe[1], stderr=pipe[1], timeout=SECONDS
        ).returncode
        == 0
    )


def test_output_without_a_descriptor_stays_what_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    with output.output_aside():
        print("held in memory")
    assert capsys.readouterr().out == "held in memory\n"
