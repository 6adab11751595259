"""Digests of a bundle's files, block by block, which a server checks before it serves: damage is named, not answered.

They are in digests.json, which the converter writes last. Files that did not change since they were checked are not
read again: size, inode and times stand for their bytes. Knows files, nothing of what is in them.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import BundleError
from .manifest import DIGESTS, MANIFEST, Manifest, rebuild_hint

CHECKED = "checked.json"
"""The record, in the bundle's folder, of the state in which its files were checked. Without it they are read."""
STATE = "TRIMODE_CHECKED_BUNDLE"
"""The environment variable by which a server says that state to what it starts, where no record can be written."""
BLOCK_BYTES = 2**24  # that have a digest of their own: damage is named as closely
READ_BYTES = 2**20  # that are read at once
SETTLED_SECONDS = 2.0  # since the last change of a file that is trusted: two changes within a tick have one time
NEVER = threading.Event()
"""For whoever waits for a check whatever happens."""
MOST_THREADS = 16  # each hashes about 1 GB a second where the processor helps with SHA-256


class StoppedError(Exception):
    """A check ended before its end, since the process is to end: nobody knows of the bundle whether it is sound."""


def write(folder: Path) -> None:
    """Write the digests of the manifest in `folder` and of every file that it names."""
    names = _names(Manifest.load(folder))
    digests = _digests(folder, {name: (folder / name).stat().st_size for name in names})
    text = json.dumps({"block_bytes": BLOCK_BYTES, "files": digests, "own": _own(digests)}, indent=1)
    (folder / DIGESTS).write_text(text + "\n", encoding="utf-8")


def total_bytes(folder: Path, manifest: Manifest) -> int:
    """Return how much is read where everything is checked."""
    return sum((folder / name).stat().st_size for name in _names(manifest))


def is_checked(folder: Path, manifest: Manifest, known: str = "") -> bool:
    """Return whether the files are in a state that was checked before: the one on record, or `known`."""
    try:
        state = _state(folder, _names(manifest))
        return state == known or json.loads((folder / CHECKED).read_text(encoding="utf-8")) == state
    except (OSError, ValueError, RecursionError):  # a record that cannot be read is none
        return False


def check(
    folder: Path, manifest: Manifest, *, known: str = "", everything: bool = False, stopping: threading.Event = NEVER
) -> str:
    """Check every file of the bundle, unless that was done before; return the state that its files are in.

    Args:
        manifest: the bundle's.
        known: a state that was checked, by another process.
        everything: read all files, whatever was done before.
        stopping: ends the reading once it is set; who sets it waits for READ_BYTES at most.

    Raises:
        BundleError: there are no digests, or a file has other bytes; the text names the file and the place.
        StoppedError: `stopping` was set meanwhile.
    """
    if not (folder / DIGESTS).is_file():
        raise BundleError(f"{folder / DIGESTS} is missing. {rebuild_hint(folder)}")
    try:
        state = _state(folder, _names(manifest))
        if everything or not is_checked(folder, manifest, known):
            _compare(folder, manifest, stopping)
            _remember(folder, state, _names(manifest))
    except OSError as exc:
        raise BundleError(f"{exc.filename or folder} cannot be read: {exc.strerror}") from exc
    return state


def _names(manifest: Manifest) -> list[str]:
    return [MANIFEST, *manifest.files]


def _compare(folder: Path, manifest: Manifest, stopping: threading.Event) -> None:
    wanted = _read(folder, set(_names(manifest)))
    found = _digests(folder, {name: (folder / name).stat().st_size for name in wanted}, stopping)
    for name, digests in wanted.items():
        for number, (one, other) in enumerate(zip(digests, found[name], strict=False)):
            if one != other:
                first = number * BLOCK_BYTES
                last = min(first + BLOCK_BYTES, (folder / name).stat().st_size)
                raise BundleError(
                    f"{folder / name} is damaged between bytes {first} and {last}: they are not those that were "
                    f"written. {rebuild_hint(folder)}"
                )
        if len(digests) != len(found[name]):
            raise BundleError(f"{folder / name} has another size than when it was written. {rebuild_hint(folder)}")


def _read(folder: Path, names: set[str]) -> dict[str, list[str]]:
    """Return the digests on disk, by file.

    Raises:
        BundleError: they are damaged themselves.
    """
    path = folder / DIGESTS
    try:
        raw: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        files: dict[str, list[str]] = raw["files"]
        sound = raw["block_bytes"] == BLOCK_BYTES and raw["own"] == _own(files) and set(files) == names
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        sound = False
    if not sound:
        raise BundleError(f"{path} is damaged, or of another bundle. {rebuild_hint(folder)}")
    return files


def _own(digests: dict[str, list[str]]) -> str:
    return hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()


def _digests(folder: Path, sizes: dict[str, int], stopping: threading.Event = NEVER) -> dict[str, list[str]]:
    """Return the digest of each block, by file; several at a time, since hashing lets other threads run."""
    blocks = [(name, first) for name, size in sizes.items() for first in range(0, max(size, 1), BLOCK_BYTES)]
    made: dict[str, list[str]] = {name: [] for name in sizes}
    with ThreadPoolExecutor(min(MOST_THREADS, os.cpu_count() or 1)) as threads:
        digests = threads.map(lambda block: _digest(folder / block[0], block[1], stopping), blocks)
        for (name, _), digest in zip(blocks, digests, strict=True):
            made[name].append(digest)
    return made


def _digest(path: Path, first: int, stopping: threading.Event) -> str:
    """Return the SHA-256 of the block that begins at byte `first`."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        file.seek(first)
        left = BLOCK_BYTES
        while left:
            if stopping.is_set():
                raise StoppedError(path)
            if not (part := file.read(min(READ_BYTES, left))):
                break
            digest.update(part)
            left -= len(part)
    return digest.hexdigest()


def _state(folder: Path, names: Iterable[str]) -> str:
    """Return one text for the size, device, inode and times of all files. No program can set a file's ctime."""
    digest = hashlib.sha256()
    for name in sorted({DIGESTS, *names}):
        facts = (folder / name).stat()
        times = facts.st_mtime_ns, facts.st_ctime_ns
        digest.update(f"{name} {facts.st_size} {facts.st_dev} {facts.st_ino} {times}\n".encode())
    return digest.hexdigest()


def _remember(folder: Path, state: str, names: Iterable[str]) -> None:
    """Keep the state, if the files are still in it and have been for a while. A failure costs a reading later."""
    newest = max(max(facts.st_mtime_ns, facts.st_ctime_ns) for facts in map(Path.stat, (folder / one for one in names)))
    if time.time_ns() - newest < SETTLED_SECONDS * 1e9 or _state(folder, names) != state:
        return
    partial = folder / f"{CHECKED}.{os.getpid()}"
    with suppress(OSError):
        partial.write_text(json.dumps(state) + "\n", encoding="utf-8")
        partial.replace(folder / CHECKED)
    with suppress(OSError):
        partial.unlink(missing_ok=True)
