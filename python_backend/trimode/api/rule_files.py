"""Your own reveal rules: the Python files that TRIMODE_REVEAL_RULES names. A file's name is its rule's name.

Knows paths and names, and runs no file; decoding/reveal.py loads them.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from ..errors import ConfigError

RULE_FILES = "TRIMODE_REVEAL_RULES"
"""The environment variable: paths of Python files, separated by os.pathsep, a colon on Linux."""


def rule_files(environment: Mapping[str, str] = os.environ) -> tuple[Path, ...]:
    """Return the paths that TRIMODE_REVEAL_RULES holds, each once, in their order; nothing is checked."""
    given = environment.get(RULE_FILES, "").split(os.pathsep)
    return tuple(dict.fromkeys(Path(path) for path in given if path))


def check_rule_files(paths: Iterable[Path], taken: Collection[str]) -> None:
    """Check that each path is a Python file whose name can be the name of a rule.

    Args:
        paths: the files; the name of a rule is its file's name without `.py`.
        taken: names of rules that ship with the server.

    Raises:
        ConfigError: the path holds os.pathsep, there is no such file, its name cannot be a rule's, or the name is taken
            by a shipped rule or by an earlier path.
    """
    known: dict[str, Path] = {}
    for path in paths:
        name = path.stem
        if os.pathsep in str(path):
            raise ConfigError(f"reveal rule {path}: the path must not hold {os.pathsep!r}, which separates paths")
        if not path.is_file():
            raise ConfigError(f"reveal rule {path}: there is no such file")
        if path.suffix != ".py" or not name.isidentifier():
            raise ConfigError(f"reveal rule {path}: the file must be named as a Python module is, such as mine.py")
        if name in taken or name == "base":
            raise ConfigError(f"reveal rule {path}: the name {name} is taken by a file that ships with the server")
        if name in known:
            raise ConfigError(f"reveal rule {path}: the name {name} is taken by {known[name]}")
        known[name] = path


def joined(paths: Iterable[Path]) -> str:
    """Return the value of TRIMODE_REVEAL_RULES that names `paths`, which are made absolute."""
    return os.pathsep.join(str(path.absolute()) for path in paths)
