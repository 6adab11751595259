"""A root folder in which commands run as in a container: with its own processes, mounts and, if asked, no network.

Knows nothing of Dockerfiles. Needs to be root.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

NEEDED = ("unshare", "chroot", "mount", "ip")
"""Programs of this machine that it uses."""
SECONDS = 1800.0  # for one step; downloads are in it


class StepError(Exception):
    """A command failed, and the end of what it said."""


class Bind(NamedTuple):
    """A file or folder of this machine that is seen in the root, and cannot be written there unless `writable`."""

    source: Path
    target: str
    writable: bool = False


def lacking() -> str:
    """Return what this machine lacks to run steps, or nothing."""
    if os.geteuid() != 0:
        return "it needs root, to change the root folder"
    missing = [name for name in NEEDED if shutil.which(name) is None]
    return f"these programs are not installed: {', '.join(missing)}" if missing else ""


class Space:
    """A root folder and who works in it."""

    def __init__(self, root: Path) -> None:
        """Work as root, in /, with Docker's PATH."""
        self.root = root
        self.environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}
        self.folder = "/"
        self.user = "0"

    def place(self, path: str) -> Path:
        """Return where a path of the root is on this machine; a relative one is below the working folder."""
        return self.root / os.path.normpath(os.path.join(self.folder, path)).lstrip("/")

    def run(
        self,
        command: str,
        extra: Mapping[str, str],
        binds: Sequence[Bind] = (),
        *,
        network: bool,
        seconds: float = SECONDS,
    ) -> str:
        """Run a shell's command, and return what it wrote.

        Args:
            command: for /bin/sh.
            extra: variables beside the environment.
            binds: what is seen of this machine.
            network: whether it has this machine's network; without, its loopback is its own.
            seconds: how long it may take.

        Raises:
            StepError: it ends with another code than 0, or takes too long.
        """
        script = self._entering(command, extra, binds, network)
        alone = ["unshare", "--mount", "--pid", "--fork", "--kill-child", *([] if network else ["--net"])]
        words = [*alone, "/bin/sh", "-euc", script]
        try:
            done = subprocess.run(
                words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", timeout=seconds
            )
        except subprocess.TimeoutExpired as exc:
            raise StepError(f"{command}: not done after {seconds:.0f} s") from exc
        if done.returncode:
            raise StepError(f"{command}: exit code {done.returncode}\n{done.stdout[-4000:]}")
        return done.stdout

    def _entering(self, command: str, extra: Mapping[str, str], binds: Sequence[Bind], network: bool) -> str:
        """Return the shell's script that goes into the root; its mounts end with it."""
        root = shlex.quote(str(self.root))
        lines = [
            f"mount -t proc proc {root}/proc",
            f"mount --rbind /dev {root}/dev",
            f"mount -t tmpfs -o mode=1777 tmpfs {root}/dev/shm",
        ]
        for one in binds:
            target = self.root / one.target.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            if one.source.is_dir():
                target.mkdir(exist_ok=True)
            else:
                target.touch()
            quoted = shlex.quote(str(target))
            lines.append(f"mount --bind {shlex.quote(str(one.source))} {quoted}")
            if not one.writable:
                lines.append(f"mount -o remount,bind,ro {quoted}")
        if not network:
            lines.append("ip link set lo up")
        values = [f"{name}={value}" for name, value in {**self.environment, **extra}.items()]
        inside = ["/usr/bin/env", "-i", *values, "/bin/sh", "-c", f"cd {shlex.quote(self.folder)} && {command}"]
        lines.append(f"exec chroot --userspec={self.user}:0 {root} {shlex.join(inside)}")
        return "\n".join(lines)
