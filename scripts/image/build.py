"""The stages of a Dockerfile, step by step, in copies of a plain Debian that stands in for the base image.

What needs the base image's TensorRT is left out and named. Only the stages before the last one have a network, so that
a last stage that asks an index fails.
"""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from .dockerfile import Dockerfile, DockerfileError, Stage, filled, mounts_of
from .space import Bind, Space

ONLY_IN_THE_BASE = "tensorrt_binding.py"
"""A step that runs this asks the base image's libraries for their version."""
IGNORED = shutil.ignore_patterns("__pycache__", "*.egg-info")
"""What .dockerignore keeps from the builder within the folders that are copied."""


class PipSettings:
    """How this machine's pip reaches its index, for a pip in a root: variables, and the files that they name."""

    def __init__(self, listing: str) -> None:
        """Read what `pip config list` prints."""
        self.variables: dict[str, str] = {}
        self.binds: list[Bind] = []
        for line in listing.splitlines():
            name, _, value = line.partition("=")
            section, _, key = name.rpartition(".")
            if section in ("global", ":env:"):
                self.variables[f"PIP_{key.upper().replace('-', '_')}"] = str(ast.literal_eval(value))
        for word in " ".join(self.variables.values()).split():
            path = Path(word)
            if word.startswith("file://"):  # an index of files, which names files beside it
                path = Path(word.removeprefix("file://")).parent
            if path.is_absolute() and path.exists() and path not in [one.source for one in self.binds]:
                self.binds.append(Bind(path, str(path)))

    @classmethod
    def of_this_machine(cls) -> PipSettings:
        """Ask the pip of this Python."""
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "config", "list"]
        return cls(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


class Build:
    """The stages that were made, each with its root."""

    def __init__(
        self, dockerfile: Dockerfile, context: Path, base: Path, folder: Path, say: Callable[[str], None]
    ) -> None:
        """Nothing is made yet.

        Args:
            dockerfile: what to run.
            context: the folder that COPY takes from.
            base: the root that stands in for every stage's image.
            folder: for the copies of it.
            say: is told each step.
        """
        self.dockerfile = dockerfile
        self.context = context
        self.base = base
        self.folder = folder
        self.say = say
        self.pip = PipSettings.of_this_machine()
        self.made: dict[str, Space] = {}

    def run(self) -> Space:
        """Make all stages; return the last one's root with its user, environment and folder.

        Raises:
            StepError: a step failed.
            DockerfileError: an instruction cannot be read.
        """
        for number, stage in enumerate(self.dockerfile.stages):
            root = self.folder / (stage.name or str(number))
            subprocess.run(["cp", "-a", self.base, root], check=True)
            shutil.copy("/etc/resolv.conf", root / "etc" / "resolv.conf")
            space = self.made[stage.name or str(number)] = Space(root)
            self._stage(stage, space, network=stage is not self.dockerfile.final)
        return space

    def _stage(self, stage: Stage, space: Space, network: bool) -> None:
        values: dict[str, str] = {}
        for word, rest in stage.instructions:
            text = filled(rest, {**values, **space.environment})
            if word == "ARG":
                name, _, default = text.partition("=")
                values[name] = default or self.dockerfile.arguments.get(name, "")
            elif word == "ENV":
                name, _, value = text.partition("=")
                space.environment[name] = value
            elif word == "WORKDIR":
                space.folder = text
                space.place(".").mkdir(parents=True, exist_ok=True)
            elif word == "USER":
                space.user, space.environment["HOME"] = text, "/"
            elif word == "COPY":
                self.say(f"{space.root.name}: COPY {text}")
                self._copy(space, text.split())
            elif word == "RUN":
                self._run(space, text, values, network)

    def _run(self, space: Space, text: str, values: dict[str, str], network: bool) -> None:
        mounts, command = mounts_of(text)
        if ONLY_IN_THE_BASE in command:
            self.say(f"{space.root.name}: left out, since it needs TensorRT's libraries: RUN {command}")
            return
        self.say(f"{space.root.name}: RUN {command}")
        binds = [Bind(self.made[one.stage].place(one.source), one.target) for one in mounts]
        extra = dict(values)
        if network:
            extra.update(self.pip.variables)
            binds += self.pip.binds
        space.run(command, extra, binds, network=network)

    def _copy(self, space: Space, words: list[str]) -> None:
        if words[0].startswith("--"):
            raise DockerfileError(f"COPY {words[0]}: options are not read")
        *given, target = words
        sources = [path for one in given for path in sorted(self.context.glob(one))]
        if not sources:
            raise DockerfileError(f"COPY {' '.join(given)}: there is no such file")
        place = space.place(target)
        for source in sources:
            if source.is_dir():
                shutil.copytree(source, place, ignore=IGNORED, dirs_exist_ok=True)
            elif target.endswith("/") or place.is_dir():
                place.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, place)
            else:
                shutil.copy(source, place)


def words_of(stage: Stage, word: str) -> list[str]:
    """Return the command of ENTRYPOINT, or of HEALTHCHECK behind its CMD."""
    (rest,) = stage.of(word)
    found: list[str] = json.loads(re.sub(r"^.*?\[", "[", rest, count=1))
    return found
