"""The private folder of one server, and links in it with plain names for files whose own names Triton cannot take.

Triton hands paths to its stub through a shell, and the stub's Python reads them as ASCII: a space or an umlaut ends the
backend before it can say why. Knows names of files, nothing of what is in them.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil

from ...errors import ServeError

PLAIN = re.compile(r"[A-Za-z0-9._/+-]+")
"""Paths that mean the same to a shell, to a list that is separated by colons or commas, and in ASCII."""
PREFIX = "trimode-"  # of a private folder's name
NAME_BYTES = 8  # random ones of its name
OWNER = "owner"
"""The file in it that its server keeps locked: the system unlocks it when the server dies, in whatever way."""
BASE_BYTES = 70  # longest path of the folder that holds the private one: a socket's path has 107 bytes at most
OTHER_BASES = ("/tmp", "/var/tmp", "/dev/shm")
"""Where the private folder is made if the system's folder for temporary files has no plain name."""
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


def is_plain(path: Path) -> bool:
    """Return whether Triton can take the path as it is."""
    return PLAIN.fullmatch(str(path)) is not None


@contextmanager
def private_folder(announce: Callable[[Path], None]) -> Iterator[Path]:
    """Give a folder that only this user can look into; it is deleted at the end.

    First those are deleted that servers of this user left there when they were killed. `announce` is called with the
    folder's path before it is made.

    Raises:
        ServeError: there is no folder for temporary files that Triton can take and that this user can write to.
    """
    try:
        first = tempfile.gettempdir()
    except OSError as exc:
        raise ServeError(f"there is no folder for temporary files: {exc}") from exc
    for base in (first, *OTHER_BASES):
        fits = is_plain(Path(base)) and len(os.fsencode(base)) <= BASE_BYTES
        if fits and os.access(base, os.W_OK | os.X_OK):
            break
    else:
        raise ServeError(
            f"{first} has a name that Triton cannot take (spaces, other than ASCII, or above {BASE_BYTES} bytes), and "
            f"none of {', '.join(OTHER_BASES)} can be written to; set TMPDIR to another folder"
        )
    with ExitStack() as stack:
        try:
            folder = Path(base) / f"{PREFIX}{secrets.token_hex(NAME_BYTES)}"  # which nobody can guess and make before
            announce(folder)
            folder.mkdir(mode=0o700)
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            owner = stack.enter_context((folder / f"{OWNER}.new").open("w"))
            fcntl.flock(owner, fcntl.LOCK_EX)
            os.rename(owner.name, folder / OWNER)  # locked from the moment that it has this name
        except OSError as exc:
            text = f"no folder for temporary files can be made in {base}: {exc}; set TMPDIR to another"
            raise ServeError(text) from exc
        clear_stale(Path(base))
        yield folder


def clear_stale(base: Path) -> None:
    """Delete this user's private folders in `base` whose server has died, unless a process still runs on one."""
    for folder in base.glob(f"{PREFIX}*"):
        try:
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            with (folder / OWNER).open("r+") as owner:
                fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)  # which fails while the server lives
                if not _is_used(folder):
                    shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # it is of a server that lives, is not ours, or has just gone
            continue


def _is_used(folder: Path) -> bool:
    """Whether a process has the folder in its command line, as tritonserver has."""
    return any(
        str(folder) in part for process in psutil.process_iter(["cmdline"]) for part in process.info["cmdline"] or ()
    )


def plain_path(path: Path, folder: Path, name: str) -> Path:
    """Return `path`, or for one that Triton cannot take a link to it, `folder`/`name`."""
    if is_plain(path):
        return path
    link = folder / name
    link.symlink_to(path)
    return link


def plain_python(folder: Path, package: Path) -> tuple[Path, Path]:
    """Return (prefix, site-packages) of a Python with the packages of this one, under paths that a stub can take.

    Args:
        folder: where links are made if this Python, or `package`, has another path.
        package: the folder of the package trimode, which an editable installation names in a file that the stub's
            Python cannot read if the name is not ASCII.

    Raises:
        ServeError: the Python that the virtual environment was made from has another path.
    """
    prefix = Path(sys.prefix)
    if is_plain(prefix) and is_plain(package):
        return prefix, Path(sysconfig.get_paths()["purelib"])
    if not is_plain(Path(sys.base_prefix)):
        raise ServeError(
            f"Python is installed in {sys.base_prefix}, a path that Triton cannot take; use a Python in a folder whose "
            "name has no spaces and is ASCII"
        )
    made = folder / "python"
    packages = made / "lib" / f"python{PYTHON}" / "site-packages"
    packages.mkdir(parents=True)
    (made / "bin").mkdir()
    for name in ("python3", f"python{PYTHON}"):
        (made / "bin" / name).symlink_to(os.path.realpath(sys.executable))
    (made / "pyvenv.cfg").write_text(f"home = {sys.base_prefix}/bin\n", encoding="utf-8")
    for entry in Path(sysconfig.get_paths()["purelib"]).iterdir():
        if entry.suffix != ".pth" and entry.name != package.name:
            (packages / entry.name).symlink_to(entry)
    (packages / package.name).symlink_to(package)
    return made, packages
