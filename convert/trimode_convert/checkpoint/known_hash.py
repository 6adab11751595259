"""The hash of a checkpoint that did not change since it was read: sizes and times stand for gigabytes of bytes.

A file is the same if its path, size, inode, device and both times are; whoever writes to it changes its ctime, which no
program can set. Knows nothing of bundles but that a folder keeps the record.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from trimode.errors import CheckpointError

RECORD = "checkpoint-files.json"
"""The record's name in the folder of a bundle. It is no file of the bundle: without it the checkpoint is read."""
SETTLED_SECONDS = 2.0
"""Seconds since the last change of a file before it is trusted: within a clock's tick two changes have one time."""
State = list[list[str | int]]


@dataclass(frozen=True)
class Reading:
    """The hash of a checkpoint, and the state of its files when they were read; None if they were not read now."""

    hash: str
    state: State | None

    @classmethod
    def of(cls, folder: Path, paths: Sequence[Path], read: Callable[[], str], *, again: bool) -> Reading:
        """Return the hash on record in `folder` if it is of the same files; else, or `again`, what `read` returns.

        Raises:
            CheckpointError: a file changed while it was read, or cannot be read.
        """
        if not again and (known := recall(folder, paths)) is not None:
            return cls(known, None)
        before = _checked_state(paths)
        digest = read()
        if _checked_state(paths) != before:
            raise CheckpointError(f"{paths[0].parent}: a file changed while it was read")
        return cls(digest, before)

    @property
    def read(self) -> bool:
        """Whether the checkpoint was read."""
        return self.state is not None

    def keep(self, folder: Path) -> None:
        """Record the hash in `folder`, so that the next build need not read the checkpoint."""
        if self.state is not None:
            remember(folder, self.state, self.hash)


def _checked_state(paths: Sequence[Path]) -> State:
    try:
        return state_of(paths)
    except OSError as exc:
        raise CheckpointError(f"{exc.filename}: cannot be read: {exc.strerror}") from exc


def state_of(paths: Sequence[Path]) -> State:
    """Return what is compared of each file.

    Raises:
        OSError: a file is missing or cannot be looked at.
    """
    found: State = []
    for path in sorted(paths):
        facts = path.stat()
        place = str(path.resolve())
        found.append([place, facts.st_size, facts.st_dev, facts.st_ino, facts.st_mtime_ns, facts.st_ctime_ns])
    return found


def recall(folder: Path, paths: Sequence[Path]) -> str | None:
    """Return the hash that `folder` has on record for these files; None if any of them differs or there is none."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        if record["files"] == state_of(paths) and isinstance(record["hash"], str):
            return str(record["hash"])
    except (OSError, ValueError, TypeError, KeyError):
        pass
    return None


def remember(folder: Path, state: State, digest: str) -> None:
    """Keep the hash of files that were in `state` before and after they were read. A failure costs a reading later."""
    newest = max((int(times) for *_, mtime, ctime in state for times in (mtime, ctime)), default=0)
    if time.time_ns() - newest < SETTLED_SECONDS * 1e9:
        return
    partial = folder / f"{RECORD}.{os.getpid()}"
    with suppress(OSError):
        partial.write_text(json.dumps({"files": state, "hash": digest}, indent=1) + "\n", encoding="utf-8")
        partial.replace(folder / RECORD)
    partial.unlink(missing_ok=True)
