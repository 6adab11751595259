"""The shared memory files of this server, and of others that died: their names, who may read them, their deletion.

Knows file names, nothing of what is in the files; Triton makes them under the prefix that it is started with.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

SHM = Path("/dev/shm")
OWNER_ONLY = 0o600  # reading and writing, for the user who runs the server


def _namespace_prefix() -> str:
    """Return the prefix that the shared memory files of every server in this PID namespace have.

    Containers may share /dev/shm, but the same pid is another process in each of them.
    """
    return f"trimode_{Path('/proc/self/ns/pid').stat().st_ino}_"


def own_prefix(number: int | None = None) -> str:
    """Return the prefix of the shared memory files of this process's server, or of its model with this `number`."""
    own = f"{_namespace_prefix()}{os.getpid()}_"
    return own if number is None else f"{own}{number}_"


def clear_shm(prefix: str) -> None:
    """Delete the shared memory files under `prefix`, and those of dead servers of this PID namespace."""
    namespace = _namespace_prefix()
    for file in SHM.glob(f"{namespace}*_*"):
        owner = file.name.removeprefix(namespace).partition("_")[0]
        if file.name.startswith(prefix) or (owner.isdigit() and not Path(f"/proc/{owner}").exists()):
            with contextlib.suppress(OSError):
                file.unlink()


def close_shm(prefix: str) -> None:
    """Close the shared memory files under `prefix`, which hold prompts and answers, to other users.

    Triton makes them readable for everybody, whatever the umask.
    """
    for file in SHM.glob(f"{prefix}*"):
        with contextlib.suppress(OSError):
            file.chmod(OWNER_ONLY)
