"""A folder that appears whole or not at all: written next to its place as `<out>.partial-<pid>`, then renamed.

Knows which leftovers belong to dead processes, and that a folder with a manifest may be replaced. Knows nothing else
about what is in the folder.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from trimode.bundle.manifest import MANIFEST
from trimode.errors import BundleError

HEADROOM = 16 << 20  # bytes kept free for the graph, the tokenizer and the file system's own records


@contextmanager
def replacing(out: Path) -> Iterator[Path]:
    """Yield an empty folder next to `out`. On success it becomes `out`; on any error, Ctrl-C too, it is removed.

    Raises:
        BundleError: `out` cannot be written, the disk is full, or `out` holds something other than a bundle.
    """
    check_place(out)
    partial = out.with_name(f"{out.name}.partial-{os.getpid()}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        clean_leftovers(out)
        partial.mkdir()
        yield partial
        _put_in_place(partial, out)
    except OSError as exc:
        shutil.rmtree(partial, ignore_errors=True)
        raise as_bundle_error(exc, out) from exc
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def check_place(out: Path) -> None:
    """Refuse, before any work, a place that cannot be written or that holds something other than a bundle.

    Raises:
        BundleError: names the place, what was expected and what was found.
    """
    parent = _nearest_existing(out.parent)
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise BundleError(f"{out}: expected a place to write a bundle, found {parent}, which cannot be written")
    if not out.exists():
        return
    if not out.is_dir():
        raise BundleError(f"{out}: expected a bundle folder or nothing, found a file")
    if not (out / MANIFEST).is_file() and any(out.iterdir()):
        raise BundleError(f"{out}: expected a bundle or an empty folder, found other files: not replaced")


def check_space(out: Path, needed: int) -> None:
    """Refuse, before any work, when the disk cannot hold the new bundle in addition to the old one.

    Raises:
        BundleError: says how much is needed and how much is free.
    """
    place = _nearest_existing(out.absolute().parent)
    free = shutil.disk_usage(place).free
    if free < needed + HEADROOM:
        raise BundleError(f"{place}: disk too full: needed {megabytes(needed + HEADROOM)}, free {megabytes(free)}")


def clean_leftovers(out: Path) -> None:
    """Remove what dead processes left next to `out`. Put back an old bundle that was moved away but not replaced."""
    pattern = re.compile(re.escape(out.name) + r"\.(partial|old)-(\d+)")
    for entry in out.parent.iterdir():
        match = pattern.fullmatch(entry.name)
        if match is None or _alive(int(match[2])):
            continue
        if match[1] == "old" and not out.exists():
            entry.rename(out)
        else:
            shutil.rmtree(entry, ignore_errors=True)


def as_bundle_error(exc: OSError, out: Path) -> BundleError:
    """Return this project's error for an error of the file system."""
    if exc.errno in (errno.ENOSPC, errno.EDQUOT):
        free = shutil.disk_usage(out.parent).free
        return BundleError(f"{out}: the disk is full ({megabytes(free)} free); nothing was left behind")
    return BundleError(f"{exc.filename or out}: cannot be written: {exc.strerror}")


def megabytes(count: int) -> str:
    """Return a size as text for people."""
    return f"{count / 1e6:,.1f} MB"


def _put_in_place(partial: Path, out: Path) -> None:
    old = out.with_name(f"{out.name}.old-{os.getpid()}")
    had_old = out.exists()
    if had_old:
        out.rename(old)
    try:
        partial.rename(out)
    except OSError:
        if had_old:
            old.rename(out)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _nearest_existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path


def _alive(pid: int) -> bool:
    if pid == os.getpid():
        return False  # these are leftovers of an earlier process that had this id
    with suppress(PermissionError):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
    return True
