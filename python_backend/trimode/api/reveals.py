"""The names of the reveal rules: the shipped ones, and your own, the Python files that TRIMODE_REVEAL_RULES names.

A file's name is its rule's name. Knows paths and names, and runs no file; decoding/reveal.py loads the rules.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from pkgutil import iter_modules

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


def _reveal_rules() -> tuple[str, ...]:
    """Return the names of the rules in decoding/reveal_rules/: a new file there is a new rule, here and everywhere.

    Only names are read, since the rules need numpy. Messages and help have always listed the first five in this order.
    """
    folder = Path(__file__).parents[1] / "decoding" / "reveal_rules"
    modules = [module for module in iter_modules([str(folder)]) if not module.ispkg and module.name.isidentifier()]
    found = {module.name for module in modules} - {"base"}
    if "threshold" not in found:
        raise ImportError(f"{folder} does not hold the reveal rules; the installation is not complete")
    first = [name for name in ("threshold", "steps", "leftmost", "entropy", "margin") if name in found]
    return (*first, *sorted(found - set(first)))


SHIPPED_REVEALS = _reveal_rules()
"""Names of the reveal rules in decoding/reveal_rules/, so that a new file there is a new rule everywhere."""
REVEALS = tuple(dict.fromkeys((*SHIPPED_REVEALS, *(path.stem for path in rule_files()))))
"""Names of all reveal rules: the shipped ones, and the files that TRIMODE_REVEAL_RULES names in this process."""
