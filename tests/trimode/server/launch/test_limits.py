"""Which of the system's limits are raised, and which are named as too low."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest
from trimode.errors import ServeError
from trimode.server.launch import limits
from trimode.server.launch.limits import KEPT_FILES, OPEN_FILES, affordable, check_limits


@pytest.mark.parametrize("allowed", [256, 1024])
def test_a_server_may_open_as_many_files_as_the_system_allows(allowed: int) -> None:
    code = "import resource; from trimode.server.launch import limits; limits.raise_file_limit()"
    code += "; print(resource.getrlimit(resource.RLIMIT_NOFILE))"
    shell = f'ulimit -Sn {allowed}; ulimit -Hn; exec "$0" -c "$1"'
    shown = subprocess.run(["sh", "-c", shell, sys.executable, code], capture_output=True, text=True, check=True).stdout
    hard, found = shown.splitlines()
    most = OPEN_FILES if hard == "unlimited" else min(OPEN_FILES, int(hard))
    assert found.startswith(f"({most}, ")


@pytest.mark.parametrize(
    ("number", "soft", "text"),
    [
        (resource.RLIMIT_NOFILE, 127, r"open files is 127 \(ulimit -n\), the server needs at least 128"),
        (resource.RLIMIT_AS, 2**30, r"address space in KiB is 1048576 \(ulimit -v\), .* at least 2097162"),
        (resource.RLIMIT_FSIZE, 2**20, r"file size in KiB is 1024 \(ulimit -f\), .* at least 65536"),
    ],
)
def test_a_limit_that_is_too_low_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, soft: int, text: str
) -> None:
    (tmp_path / "weights").write_bytes(bytes(10 * 1024))
    infinite = resource.RLIM_INFINITY
    monkeypatch.setattr(resource, "getrlimit", lambda asked: (soft if asked == number else infinite, infinite))
    with pytest.raises(ServeError, match=text):
        check_limits(tmp_path)


def test_limits_that_are_high_enough_or_infinite_are_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_limits(tmp_path)
    least = {need.number: need.least * need.unit for need in limits.NEEDS}
    monkeypatch.setattr(resource, "getrlimit", lambda asked: (least[asked], least[asked]))
    check_limits(tmp_path)


@pytest.mark.parametrize(
    ("files", "connections"),
    [
        (resource.RLIM_INFINITY, (2000, 1000, 500)),
        (KEPT_FILES + 6000, (2000, 1000, 500)),
        (KEPT_FILES + 3000, (1000, 500, 250)),
        (KEPT_FILES + 60, (20, 10, 5)),
        (KEPT_FILES - 1, (1, 1, 1)),
    ],
)
def test_the_ports_share_the_files(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, files: int, connections: tuple[int, ...]
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda limit: (files, files))
    assert affordable(2000, 1000, 500) == connections
    http, grpc, metrics = connections
    text = f"at most {http} HTTP, {grpc} gRPC and {metrics} metrics connections, for want of open files: see ulimit -n"
    assert [record.getMessage() for record in caplog.records] == ([] if http == 2000 else [text])
