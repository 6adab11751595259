"""Starts that cannot work end at once with one line that says why; starts in odd places work."""

from __future__ import annotations

import json
import os
import resource
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest
from trimode.api.tensors import MODEL_NAME
from trimode.bundle import digests
from trimode.bundle.manifest import MANIFEST, Manifest
from trimode.errors import ERROR_TYPES

from tests.faults.callers import SHORT, WAYS, over_http
from tests.faults.conftest import ROOT
from tests.faults.left import Belongings
from tests.server.server import Server, wait_until
from tests.support.installed_triton import install_triton

FILES = (
    "manifest.json", "model.onnx", "model.data", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja",
    "generation_config.json", "effort.json", "digests.json",
)  # fmt: skip
ODD = ("my project", "prøject", "a'b$c;d:e&f")
MOUNTS = (
    bool(shutil.which("unshare")) and subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode == 0
)
needs_mounts = pytest.mark.skipif(not MOUNTS, reason="this user cannot mount")


def failed(server: Server) -> str:
    """Return the last line of a server that could not start, and left nothing behind."""
    belongings = Belongings.of(server)
    assert server.wait(60) == 1, server.log.read_text()
    belongings.wait_gone()
    text = server.log.read_text()
    assert "Traceback" not in text
    last = text.splitlines()[-1]
    assert " ERROR trimode-serve: " in last
    assert last.split(": ")[1] in ERROR_TYPES
    return last


def copy(bundle: Path, out: Path) -> Path:
    return Path(shutil.copytree(bundle, out))


@pytest.mark.parametrize("which", ["http", "grpc", "metrics"])
def test_a_port_is_taken(bundle: Path, starter: Callable[..., Server], which: str) -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"--{which}-port {port}" in failed(starter(bundle, f"--{which}-port", str(port), ready=False))


@pytest.mark.parametrize("how", ["missing", "cut"])
def test_a_file_of_the_bundle_is_missing_or_cut(
    bundle: Path, tmp_path: Path, starter: Callable[..., Server], how: str
) -> None:
    """Each file in turn; the servers start at the same time, since each only has to say no."""
    servers = {}
    for name in FILES:
        broken = copy(bundle, tmp_path / name)
        if how == "missing":
            (broken / name).unlink()
        else:
            os.truncate(broken / name, (broken / name).stat().st_size // 2)
        servers[name] = starter(broken, ready=False)
    for name, server in servers.items():
        assert str(tmp_path / name) in failed(server)


@pytest.mark.parametrize("name", FILES)
def test_a_byte_of_a_file_of_the_bundle_is_another(
    bundle: Path, tmp_path: Path, starter: Callable[..., Server], name: str
) -> None:
    """It is refused, with the file and the place."""
    broken = copy(bundle, tmp_path / "broken")
    data = bytearray((broken / name).read_bytes())
    data[len(data) // 2] ^= 0x01
    (broken / name).write_bytes(data)
    last = failed(starter(broken, ready=False))
    assert f"bad_bundle: {broken / name}" in last
    assert name in ("manifest.json", "digests.json") or f"{name} is damaged between bytes " in last


def test_a_byte_that_a_disk_has_lost_is_found_where_all_is_to_be_read(
    bundle: Path, tmp_path: Path, starter: Callable[..., Server], right: dict[str, str]
) -> None:
    """A record that says the files were checked is believed unless all is to be read."""
    lost = copy(bundle, tmp_path / "lost")
    with (lost / "model.data").open("r+b") as file:
        file.seek(10**6)
        byte = file.read(1)
        file.seek(10**6)
        file.write(bytes([byte[0] ^ 0x01]))
    manifest = Manifest.load(lost)
    (lost / digests.CHECKED).write_text(json.dumps(digests._state(lost, [MANIFEST, *manifest.files])))
    server = starter(lost)
    assert over_http(server, SHORT).whole
    assert server.stop() == 0
    assert "model.data is damaged between bytes 0 and 16777216" in failed(starter(lost, "--verify", ready=False))


@pytest.mark.parametrize(
    ("number", "value", "name"),
    [
        (resource.RLIMIT_NOFILE, 64, "ulimit -n"),
        (resource.RLIMIT_AS, 10**9, "ulimit -v"),
        (resource.RLIMIT_FSIZE, 10**6, "ulimit -f"),
    ],
)
def test_a_limit_is_too_low(
    bundle: Path, starter: Callable[..., Server], number: int, value: int, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    option = {resource.RLIMIT_NOFILE: "nofile", resource.RLIMIT_AS: "as", resource.RLIMIT_FSIZE: "fsize"}[number]
    monkeypatch.setattr(Server, "under", ("prlimit", f"--{option}={value}"))
    last = failed(starter(bundle, ready=False))
    assert f"({name}), the server needs at least " in last


def test_a_few_files_are_enough(
    bundle: Path, starter: Callable[..., Server], right: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Server, "under", ("prlimit", "--nofile=128"))
    server = starter(bundle)
    for way in WAYS.values():
        assert way(server, SHORT).text == right["short"]
    assert server.stop() == 0


@pytest.mark.parametrize("name", ODD)
def test_bundle_repository_and_temporary_files_are_in_folders_of_any_name(
    bundle: Path, tmp_path: Path, starter: Callable[..., Server], right: dict[str, str], name: str
) -> None:
    (place := tmp_path / name).mkdir()
    odd = copy(bundle, place / "bundle")
    shutil.copytree(ROOT / "model_repository" / MODEL_NAME, place / "models" / MODEL_NAME)
    (temporary := place / "temporary").mkdir()
    server = starter(odd, "--model-repository", str(place / "models"), TMPDIR=str(temporary))
    for way in WAYS.values():
        assert way(server, SHORT).text == right["short"]
    assert server.stop() == 0


CHECKOUT = """
set -e
mkdir -p "$1"
mount --rbind "$2" "$1"
sed "s#$2#$1#" "$1"/.venv/lib/python3.*/site-packages/_trimode.pth > "$3"
mount --bind "$3" "$1"/.venv/lib/python3.*/site-packages/_trimode.pth
mount -t tmpfs tmpfs "$2"
cd "$1"
shift 4
exec "$PWD/.venv/bin/python" "$@"
"""
"""Shows the checkout $2 under the name $1 alone, to itself; $3 is a file for the names in it. The rest is Python's."""


@needs_mounts
@pytest.mark.skipif(not (ROOT / ".venv").is_dir(), reason="the environment is elsewhere")
@pytest.mark.parametrize("name", ODD[:2])
def test_a_checkout_is_in_a_folder_of_any_name(
    bundle: Path,
    tmp_path: Path,
    starter: Callable[..., Server],
    right: dict[str, str],
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arguments = (str(tmp_path / name), str(ROOT), str(tmp_path / "names"))
    monkeypatch.setattr(Server, "under", ("unshare", "-m", "sh", "-c", CHECKOUT, "sh", *arguments))
    server = starter(bundle)
    for way in WAYS.values():
        assert way(server, SHORT).text == right["short"]
    assert server.stop() == 0


def test_nothing_is_written_into_the_home_folder_and_nothing_is_for_other_users(
    bundle: Path, tmp_path: Path, starter: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    server = starter(bundle, HOME=str(tmp_path))
    assert over_http(server, SHORT).whole
    assert list(tmp_path.rglob("*")) == []
    assert {oct(file.stat().st_mode & 0o777) for file in server.shared_memory()} == {"0o600"}
    belongings = Belongings.of(server)
    assert {oct(folder.stat().st_mode & 0o777) for folder in belongings.folders if folder.is_dir()} == {"0o700"}
    assert not [part for process in belongings.processes for part in process.cmdline() if "key=" in part]
    listening = [one.laddr for one in server.triton.net_connections("tcp") if one.status == "LISTEN"]
    assert listening == []
    assert server.stop() == 0


def test_a_tritonserver_that_is_installed_shows_no_key_and_listens_on_no_port(
    bundle: Path, tmp_path: Path, starter: Callable[..., Server], right: dict[str, str]
) -> None:
    """The wheel's own stands for it, in the folders that NVIDIA's container has."""
    installed = install_triton(tmp_path, 'exec "$0" "$@" --pinned-memory-pool-byte-size=0')
    server = starter(bundle, **installed)
    for way in WAYS.values():
        assert way(server, SHORT).text == right["short"]
    assert "--pinned-memory-pool-byte-size=0" in server.triton.cmdline()
    shown = subprocess.check_output(["ps", "-ww", "-e", "-o", "args"], text=True).splitlines()
    mine = [line for line in shown if str(server.triton.cmdline()[1]) in line]
    assert mine and not [line for line in mine if "key" in line or "restricted" in line]
    assert [one for one in server.triton.net_connections("tcp") if one.status == "LISTEN"] == []
    assert server.stop() == 0


@needs_mounts
@pytest.mark.parametrize("place", ["/tmp", "/dev/shm"])
def test_a_place_for_files_is_full_from_the_start(
    bundle: Path, starter: Callable[..., Server], place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if Path(sys.prefix).is_relative_to(place):
        pytest.skip(f"the Python of the tests lies under {place}, which would hide it")
    full = 'mount -t tmpfs -o size=16k tmpfs "$1"; cat /dev/zero > "$1"/full 2>/dev/null; shift; exec "$@"'
    monkeypatch.setattr(Server, "under", ("unshare", "-m", "sh", "-c", full, "sh", place))
    server = starter(bundle, ready=False, TMPDIR="/tmp")
    wait_until(lambda: server.ready() or server.process.poll() is not None, lambda: server.log.read_text(), 60)
    if server.process.poll() is None:
        assert over_http(server, SHORT).whole
        assert server.stop() == 0
    else:
        assert failed(server)


@needs_mounts
def test_shared_memory_becomes_full(
    bundle: Path, starter: Callable[..., Server], right: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request that does not fit is refused as one that the server cannot take now; others are answered."""
    small = 'mount -t tmpfs -o size=2m tmpfs /dev/shm; exec "$@"'
    monkeypatch.setattr(Server, "under", ("unshare", "-m", "sh", "-c", small, "sh"))
    server = starter(bundle)
    large = {**SHORT, "text_input": "\N{EURO SIGN}" * 900_000}
    for way in WAYS.values():
        answer = way(server, large)
        assert answer.error_type == "unavailable", answer.error
        assert way(server, SHORT).text == right["short"]
    assert server.stop() == 0


def test_the_log_cannot_be_written(
    bundle: Path, starter: Callable[..., Server], right: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Server, "under", ("sh", "-c", 'exec "$@" > /dev/full 2>&1', "sh"))
    server = starter(bundle)
    server.stub.kill()
    wait_until(lambda: not server.ready(), lambda: "still ready")
    server.wait_ready()
    assert over_http(server, SHORT).text == right["short"]
    server.stop()


def test_nobody_reads_the_log(
    bundle: Path,
    tmp_path: Path,
    starter: Callable[..., Server],
    right: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As with `| less`: the pipe is full from the start."""
    os.mkfifo(fifo := tmp_path / "fifo")
    pipe = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
    with suppress(BlockingIOError):
        while os.write(pipe, b"x" * 4096):
            pass
    monkeypatch.setattr(Server, "under", ("sh", "-c", 'pipe=$1; shift; exec "$@" > "$pipe" 2>&1', "sh", str(fifo)))
    server = starter(bundle)
    server.stub.kill()
    wait_until(lambda: not server.ready(), lambda: "still ready")
    server.wait_ready()
    for way in WAYS.values():
        assert way(server, SHORT).text == right["short"]
    assert server.stop() == 0
    os.close(pipe)
