"""Refuses a path that is no file: a build would wait for ever at a pipe, and a Git LFS pointer is not its file."""

from __future__ import annotations

import stat
from pathlib import Path

from trimode.errors import CheckpointError

LFS = b"version https://git-lfs"
"""How a pointer begins that git leaves in place of a large file it did not fetch."""


def check(path: Path) -> None:
    """Refuse what is no regular file, and a Git LFS pointer.

    Raises:
        CheckpointError: missing, something else than a file, unreadable, or a pointer.
    """
    try:
        kind = path.stat().st_mode
        if not stat.S_ISREG(kind):
            raise CheckpointError(f"{path}: expected a file, found {_name(kind)}")
        with path.open("rb") as stream:
            begin = stream.read(len(LFS))
    except OSError as exc:
        raise CheckpointError(f"{path}: cannot be read: {exc.strerror}") from exc
    if begin == LFS:
        raise CheckpointError(f"{path}: expected the file itself, found a Git LFS pointer to it: run git lfs pull")


def _name(kind: int) -> str:
    names = ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"))
    return next((name for is_one, name in names if is_one(kind)), "a device")
