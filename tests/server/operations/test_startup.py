"""Starts that cannot work end at once with status 1 and one clear line; nothing outlives a killed `serve`."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import socket
from contextlib import closing
from pathlib import Path

import pytest
from trimode.bundle import digests
from trimode.bundle.manifest import DIGESTS, MANIFEST

from tests.server.server import Server, runs, wait_until


def failed_start(server: Server) -> str:
    assert server.wait() == 1
    return server.log.read_text()


@pytest.mark.parametrize("which", ["http", "grpc", "metrics"])
def test_a_taken_port_is_named(bundle: Path, tmp_path: Path, which: str) -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        log = failed_start(Server(bundle, tmp_path / "log", f"--{which}-port", str(port)))
    assert f"serve_failed: --{which}-port {port}" in log


def test_a_missing_bundle_is_named(tmp_path: Path) -> None:
    log = failed_start(Server(tmp_path / "nowhere", tmp_path / "log"))
    assert f"bad_bundle: no engine bundle at {tmp_path / 'nowhere'}" in log
    assert "make build" in log


def test_a_cut_file_is_named(bundle: Path, tmp_path: Path) -> None:
    broken = Path(shutil.copytree(bundle, tmp_path / "broken"))
    data = broken / "model.data"
    data.write_bytes(data.read_bytes()[:-1])
    assert "bad_bundle: " in (log := failed_start(Server(broken, tmp_path / "log")))
    assert str(data) in log


def test_a_graph_that_cannot_be_read_ends_the_start(bundle: Path, tmp_path: Path) -> None:
    broken = Path(shutil.copytree(bundle, tmp_path / "broken"))
    graph = broken / "model.onnx"
    graph.write_bytes(b"\xff" * graph.stat().st_size)
    digests.write(broken)  # of what was written: the bytes are right, and no graph
    log = failed_start(Server(broken, tmp_path / "log"))
    assert "bad_bundle: " in log
    assert "serve_failed: " in log


def test_nothing_outlives_a_killed_serve(bundle: Path, tmp_path: Path) -> None:
    server = Server(bundle, tmp_path / "log")
    server.wait_ready()
    processes = [server.triton, server.stub]
    server.kill()
    wait_until(lambda: not any(runs(process) for process in processes), lambda: f"of {processes} one still runs")


ENDLESS_BYTES = 2**40
"""Of a file that takes longer to read than this test may."""


def make_endless(bundle: Path) -> None:
    """Give a bundle one more file, of which the disk holds nothing, and sound digests that nobody gets to compare."""
    with (bundle / "more.data").open("wb") as file:
        file.truncate(ENDLESS_BYTES)
    manifest = json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))
    manifest["files"]["more.data"] = ENDLESS_BYTES
    (bundle / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    files: dict[str, list[str]] = {name: [] for name in (MANIFEST, *manifest["files"])}
    own = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
    said = {"block_bytes": digests.BLOCK_BYTES, "files": files, "own": own}
    (bundle / DIGESTS).write_text(json.dumps(said), encoding="utf-8")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_while_the_bundle_is_read_is_heard(bundle: Path, tmp_path: Path, number: int) -> None:
    endless = Path(shutil.copytree(bundle, tmp_path / "endless"))
    make_endless(endless)
    server = Server(endless, tmp_path / "log")
    wait_until(lambda: "to check them" in server.log.read_text(), server.log.read_text, 60)
    server.process.send_signal(number)
    assert server.wait(60) == 0
    assert "stopped before the bundle was read" in server.log.read_text()


def test_a_stop_while_a_new_bundle_is_read_is_heard(bundle: Path, tmp_path: Path) -> None:
    place = Path(shutil.copytree(bundle, tmp_path / "place"))
    server = Server(place, tmp_path / "log")
    server.wait_ready()
    make_endless(place)
    server.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "to check them" in server.log.read_text(), server.log.read_text, 60)
    server.process.send_signal(signal.SIGTERM)
    assert server.wait(60) == 0
    assert "ERROR" not in server.log.read_text()
