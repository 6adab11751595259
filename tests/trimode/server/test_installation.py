"""Which tritonserver is found, and what it is started with; every installation here is a fake folder."""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path

import pytest
from trimode.errors import ServeError
from trimode.server import installation
from trimode.server.installation import PYTHON, STUB, Installation, find
from trimode.server.launch import private_folder
from trimode.server.ports import Ports

OTHER = "3.7"
OURS = f"{sys.prefix}/bin"


def program(path: Path, text: str = "#!/bin/sh\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def installed(root: Path, python: str | None = PYTHON) -> Path:
    """Lay out a server as NVIDIA does; its stub is linked to `python`, or does not tell when that is None."""
    linked = "" if python is None else f"\0libpython{python}.so.1.0\0"
    program(root / "backends" / "python" / STUB, f"\x7fELF{linked}libc.so.6")
    return program(root / "bin" / "tritonserver")


def wheel(packages: Path, python: str = PYTHON) -> Path:
    """Lay out the nvidia-pytriton wheel with a stub for `python`."""
    root = packages / "pytriton" / "tritonserver"
    program(root / "python_backend_stubs" / python / STUB)
    program(root / "backends" / "python" / "libtriton_python.so")
    return program(root / "bin" / "tritonserver")


@pytest.fixture(autouse=True)
def nothing_is_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(installation, "SYSTEM_BINARY", tmp_path / "opt" / "bin" / "tritonserver")
    monkeypatch.setattr(sysconfig, "get_paths", lambda: {"purelib": str(tmp_path / "packages")})
    plain = private_folder.is_plain

    def plain_here(path: Path) -> bool:
        """The checkout, whose Python runs the tests, may lie in a folder of any name."""
        return not path.is_relative_to(tmp_path) or plain(path)

    monkeypatch.setattr(private_folder, "is_plain", plain_here)


def found(tmp_path: Path, **environment: str) -> Installation:
    (scratch := tmp_path / "scratch").mkdir()
    return find(scratch, {"PATH": "/nowhere", **environment})


def test_nothing_found(tmp_path: Path) -> None:
    with pytest.raises(ServeError, match=r"no tritonserver found. Install the wheel: pip install .*nvidia-pytriton"):
        found(tmp_path)


def test_the_wheels_server_is_refused_where_numpy_1_does_not_exist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel(tmp_path / "packages")
    monkeypatch.setattr(installation, "NEWEST_FOR_WHEEL", (3, 9))
    with pytest.raises(ServeError, match=r"works with numpy 1\.26 only.*use Python 3\.11 or 3\.12"):
        found(tmp_path)


def test_the_one_that_is_named_wins(tmp_path: Path) -> None:
    installed(tmp_path / "opt")
    named = installed(tmp_path / "named")
    assert found(tmp_path, TRITONSERVER_BIN=str(named)).binary == named


def test_a_name_that_is_no_program(tmp_path: Path) -> None:
    with pytest.raises(ServeError, match="TRITONSERVER_BIN names /nowhere/tritonserver, which is not a program"):
        found(tmp_path, TRITONSERVER_BIN="/nowhere/tritonserver")


def test_the_container_wins_over_path(tmp_path: Path) -> None:
    binary = installed(tmp_path / "opt")
    installed(tmp_path / "usr")
    assert found(tmp_path, PATH=str(tmp_path / "usr" / "bin")).binary == binary


def test_path_wins_over_the_wheel(tmp_path: Path) -> None:
    wheel(tmp_path / "packages")
    binary = installed(tmp_path / "usr")
    assert found(tmp_path, PATH=str(tmp_path / "usr" / "bin")).binary == binary


@pytest.mark.parametrize("make", [lambda tmp: installed(tmp / "opt"), lambda tmp: wheel(tmp / "packages")])
def test_our_python_comes_first_on_path(tmp_path: Path, make: object) -> None:
    make(tmp_path)  # type: ignore[operator]
    environment = found(tmp_path, PATH="/a:/b", HOME="/home/x").environment
    assert environment["PATH"] == f"{OURS}:/a:/b"
    assert environment["HOME"] == "/home/x"


def test_our_python_comes_first_where_there_is_no_path(tmp_path: Path) -> None:
    installed(tmp_path / "opt")
    assert find(tmp_path, {}).environment["PATH"] == f"{OURS}:{os.defpath}"


@pytest.mark.parametrize("way", ["TRITONSERVER_BIN", "container", "PATH"])
def test_a_stub_of_another_python_is_refused(tmp_path: Path, way: str) -> None:
    binary = installed(tmp_path / ("opt" if way == "container" else "other"), OTHER)
    given = {"TRITONSERVER_BIN": {"TRITONSERVER_BIN": str(binary)}, "PATH": {"PATH": str(binary.parent)}}
    with pytest.raises(ServeError, match=rf"runs Python {OTHER}, trimode is installed for Python {PYTHON}.*PYTHON="):
        found(tmp_path, **given.get(way, {}))


def test_the_backends_that_were_checked_are_the_ones_used(tmp_path: Path) -> None:
    installed(tmp_path / "opt")
    assert found(tmp_path).options == (f"--backend-directory={tmp_path / 'opt' / 'backends'}",)


def test_the_stub_behind_a_link_is_checked(tmp_path: Path) -> None:
    binary = installed(tmp_path / "real", OTHER)
    (link := tmp_path / "usr" / "bin" / "tritonserver").parent.mkdir(parents=True)
    link.symlink_to(binary)
    with pytest.raises(ServeError, match=f"runs Python {OTHER}"):
        found(tmp_path, PATH=str(link.parent))


def test_a_stub_that_does_not_tell_its_python_is_let_pass(tmp_path: Path) -> None:
    binary = installed(tmp_path / "opt", None)
    assert found(tmp_path).binary == binary


def test_a_server_with_its_backends_elsewhere_is_let_pass(tmp_path: Path) -> None:
    binary = program(tmp_path / "usr" / "bin" / "tritonserver")
    made = found(tmp_path, PATH=str(binary.parent))
    assert (made.binary, made.options) == (binary, ())


def test_the_wheel_is_laid_out_with_the_stub_of_our_python(tmp_path: Path) -> None:
    binary = wheel(tmp_path / "packages")
    made = found(tmp_path, LD_LIBRARY_PATH="/before")
    backend = tmp_path / "scratch" / "backends" / "python"
    assert made.binary == binary
    assert {file.name for file in backend.iterdir()} == {STUB, "libtriton_python.so"}
    assert (backend / STUB).resolve().parent.name == PYTHON
    assert f"--backend-directory={backend.parent}" in made.options
    assert made.environment["LD_LIBRARY_PATH"].endswith(f"{tmp_path / 'packages' / 'nvidia_pytriton.libs'}:/before")


def test_a_wheel_without_our_python_is_refused(tmp_path: Path) -> None:
    wheel(tmp_path / "packages", OTHER)
    with pytest.raises(ServeError, match=f"has no backend for Python {PYTHON}"):
        found(tmp_path)


@pytest.mark.subprocess
def test_a_stub_with_a_missing_library_is_refused(tmp_path: Path) -> None:
    wheel(tmp_path / "packages")
    listing = "libc.so.6 => /lib/libc.so.6\\nlibpython3.so => not found\\nlibcudart.so => not found\\n"
    program(tmp_path / "tools" / "ldd", f"#!/bin/sh\nprintf '{listing}'\n")
    with pytest.raises(ServeError, match=r"lacks the libraries libpython3\.so, libcudart\.so"):
        found(tmp_path, PATH=str(tmp_path / "tools"))


def command(folder: Path, ports: Ports) -> list[str]:
    made = Installation(folder / "tritonserver", ("--first",))
    return made.command(folder, ports, ready_timeout=5, shm_prefix="mine_")


def test_tritons_own_ports_are_on_loopback_and_need_a_key_for_what_administers(tmp_path: Path) -> None:
    made = command(tmp_path, Ports(1, 2, 3))
    assert made[:2] == [str(tmp_path / "tritonserver"), "--first"]
    assert {f"--{name}-address=127.0.0.1" for name in ("http", "grpc", "metrics")} < set(made)
    assert {"--http-port=1", "--grpc-port=2", "--metrics-port=3", "--exit-timeout-secs=1"} < set(made)
    (key,) = {argument.partition(":")[2] for argument in made if "restricted" in argument}
    assert len(key.removeprefix("admin-key=")) > 30


def test_sockets_in_a_private_folder_leave_no_port_open_and_no_key_on_the_command_line(tmp_path: Path) -> None:
    ports = Ports(1, 2, 3, sockets=tmp_path)
    made = command(tmp_path, ports)
    assert {f"--http-address=unix:{tmp_path}/http", f"--grpc-address=unix:{tmp_path}/grpc"} < set(made)
    assert f"--metrics-address=unix:{tmp_path}/metrics" in made
    assert (ports.http_socket, ports.grpc_target) == (tmp_path / "http", f"unix:{tmp_path}/grpc:2")
    assert not [argument for argument in made if "key" in argument]


@pytest.mark.parametrize("name", ["my project", "prøject", "a:b"])
def test_backends_in_a_folder_whose_name_triton_cannot_take_are_linked(tmp_path: Path, name: str) -> None:
    binary = installed(tmp_path / name)
    (made,) = found(tmp_path, TRITONSERVER_BIN=str(binary)).options
    link = Path(made.removeprefix("--backend-directory="))
    assert link == tmp_path / "scratch" / "backends"
    assert link.resolve() == tmp_path / name / "backends"
