"""The sources of text that no generator made: files that Python and packages ship, each source with its licence.

A whole file (or, for the language reference, a topic) is held out, never a line. Knows nothing about ids or models.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Kind = Literal["code", "prose"]

HELD_OUT_FILES = 20
"""One file in so many is held out."""

_SKIPPED = {
    "test",
    "tests",
    "testing",
    "site-packages",
    "dist-packages",
    "idlelib",
    "lib2to3",
    "turtledemo",
    "pydoc_data",
    "encodings",
    "ensurepip",
    "__pycache__",
}


def is_held_out(text: str, one_in: int) -> bool:
    """Return whether a prompt or file name belongs to the held-out share; its hash alone decides."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") % one_in == 0


Text = tuple[str, str]
"""A file's or topic's name inside its source, and its text."""


@dataclass(frozen=True)
class Source:
    """One origin of text. `texts` yields every (name, text) in an order that does not depend on folders."""

    name: str
    kind: Kind
    licence: str
    address: str
    texts: Callable[[], Iterator[Text]]
    never_held_out: bool = False

    def share(self, held_out: bool) -> list[Text]:
        """Return the texts of the training share, or of the held-out share."""
        return [t for t in self.texts() if self.is_held_out(t[0]) == held_out]

    def is_held_out(self, name: str) -> bool:
        """Return whether a text of this source is kept from training."""
        return not self.never_held_out and is_held_out(name, HELD_OUT_FILES)


def _python_files(root: Path) -> Iterator[Text]:
    for file in sorted(root.rglob("*.py")):
        relative = file.relative_to(root)
        if not _SKIPPED & set(relative.parts):
            text = file.read_text(encoding="utf-8", errors="replace")
            if text.strip():
                yield relative.as_posix(), text


def _library() -> Iterator[Text]:
    return _python_files(Path(sysconfig.get_paths()["stdlib"]))


def _package(name: str) -> Callable[[], Iterator[Text]]:
    def texts() -> Iterator[Text]:
        spec = importlib.util.find_spec(name)
        if spec is None or not spec.submodule_search_locations:
            raise ModuleNotFoundError(f"the training text needs the package {name}, which is not installed")
        return _python_files(Path(spec.submodule_search_locations[0]))

    return texts


def _reference() -> Iterator[Text]:
    from pydoc_data.topics import topics

    return iter(sorted(topics.items()))


def _story() -> Iterator[Text]:
    spec = importlib.util.find_spec("reasoning_gym")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("the training text needs the package reasoning-gym, which is not installed")
    file = Path(spec.submodule_search_locations[0]) / "data/in_the_year_2889.txt"
    text = file.read_text(encoding="utf-8")
    begin, end = text.index("IN THE YEAR 2889.\n"), text.index("End of Project Gutenberg")  # the story alone
    yield file.name, text[begin:end].strip() + "\n"


SOURCES = (
    Source("Python standard library", "code", "PSF-2.0", "https://github.com/python/cpython", _library),
    Source("networkx", "code", "BSD-3-Clause", "https://github.com/networkx/networkx", _package("networkx")),
    Source("jinja2", "code", "BSD-3-Clause", "https://github.com/pallets/jinja", _package("jinja2")),
    Source("rich", "code", "MIT", "https://github.com/Textualize/rich", _package("rich")),
    Source(
        "Python language reference (pydoc topics)",
        "prose",
        "PSF-2.0",
        "https://github.com/python/cpython",
        _reference,
        never_held_out=True,  # topics quote each other at length
    ),
    Source(
        "In the Year 2889, a story by Jules and Michel Verne (in reasoning-gym)",
        "prose",
        "public domain",
        "https://www.gutenberg.org/ebooks/19362",
        _story,
        never_held_out=True,
    ),
)


def texts(kind: Kind, held_out: bool = False) -> list[Text]:
    """Return all texts of one kind, of the training share or of the held-out share."""
    return [text for source in SOURCES if source.kind == kind for text in source.share(held_out)]
