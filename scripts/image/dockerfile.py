"""A Dockerfile as data: its stages, and the instructions of each with their arguments put in.

Knows what build/Dockerfile uses of the format, and refuses what it does not know. Runs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

KNOWN = {
    "FROM",
    "ARG",
    "ENV",
    "LABEL",
    "WORKDIR",
    "COPY",
    "RUN",
    "USER",
    "EXPOSE",
    "STOPSIGNAL",
    "HEALTHCHECK",
    "ENTRYPOINT",
}
MOUNT = re.compile(r"--mount=type=bind,from=(\w+),source=(\S+?),target=(\S+)\s+")


class DockerfileError(Exception):
    """The file has something that is not read here."""


class Instruction(NamedTuple):
    """An instruction's word in capitals, and the rest of it with continued lines joined."""

    word: str
    rest: str


class Mount(NamedTuple):
    """A folder of another stage that a RUN sees."""

    stage: str
    source: str
    target: str


@dataclass
class Stage:
    """What follows a FROM. `name` is what AS gives, else empty."""

    image: str
    name: str
    instructions: list[Instruction] = field(default_factory=list)

    def of(self, word: str) -> list[str]:
        """Return the rests of one kind of instruction, in order."""
        return [one.rest for one in self.instructions if one.word == word]


@dataclass(frozen=True)
class Dockerfile:
    """`arguments` are those before the first FROM, which are for FROM alone."""

    arguments: dict[str, str]
    stages: list[Stage]

    @property
    def final(self) -> Stage:
        """The stage that becomes the image."""
        return self.stages[-1]

    def stage(self, name: str) -> Stage:
        """Return the stage of a name."""
        (found,) = (one for one in self.stages if one.name == name)
        return found


def filled(text: str, values: Mapping[str, str]) -> str:
    """Put values in place of ${NAME}; a name without a value stays, since a shell has it."""
    return re.sub(r"\$\{(\w+)\}", lambda found: values.get(found[1], found[0]), text)


def instructions(text: str) -> list[Instruction]:
    """Return the instructions, without comments.

    Raises:
        DockerfileError: one is none of `KNOWN`.
    """
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\s*\\\n\s*", " ", "\n".join(lines))
    parts = (line.partition(" ") for line in joined.splitlines() if line)
    found = [Instruction(word, rest.strip()) for word, _, rest in parts]
    for one in found:
        if one.word not in KNOWN:
            raise DockerfileError(f"{one.word} is none of {', '.join(sorted(KNOWN))}")
    return found


def read(path: Path) -> Dockerfile:
    """Read a Dockerfile.

    Raises:
        DockerfileError: see `instructions`; or something other than ARG stands before the first FROM.
    """
    made = Dockerfile({}, [])
    for one in instructions(path.read_text(encoding="utf-8")):
        if one.word == "FROM":
            image, _, name = filled(one.rest, made.arguments).partition(" AS ")
            made.stages.append(Stage(image, name))
        elif made.stages:
            made.stages[-1].instructions.append(one)
        elif one.word == "ARG":
            name, _, value = one.rest.partition("=")
            made.arguments[name] = value
        else:
            raise DockerfileError(f"{one.word} stands before the first FROM")
    return made


def mounts_of(run: str) -> tuple[list[Mount], str]:
    """Return what a RUN mounts, and its command alone.

    Raises:
        DockerfileError: it has an option that is no mount of another stage's folder.
    """
    found = []
    while matched := MOUNT.match(run):
        found.append(Mount(*matched.groups()))
        run = run[matched.end() :]
    if run.startswith("--"):
        raise DockerfileError(f"RUN {run}: only mounts of another stage's folder are read")
    return found, run
