"""What an installed project needs, transitively, by the metadata of an environment's packages.

Knows nothing of formats. Markers are read for the Python that runs this, which must be the environment's.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

LICENCE_NAMES = ("LICENSE", "LICENCE", "COPYING", "NOTICE", "THIRDPARTYNOTICES", "THIRD_PARTY", "AUTHORS")
"""What the names of files begin with that say whose a package is, in capitals."""
LONGEST_NAME = 100
"""Characters of the field License above which it is a text and not a name."""


class MissingError(Exception):
    """The environment lacks a package that another one needs."""


@dataclass
class Package:
    """An installed package. `needs` are the normalised names of others."""

    name: str
    distribution: importlib.metadata.Distribution
    needs: set[str] = field(default_factory=set)

    @property
    def version(self) -> str:
        """Its version."""
        return self.distribution.version

    @property
    def licence(self) -> str:
        """An SPDX expression if it gives one, else a name; empty if it says nothing."""
        if given := self._said("License-Expression"):
            return given
        given = self._said("License").strip()
        if given and "\n" not in given and len(given) <= LONGEST_NAME and given.upper() != "UNKNOWN":
            return given
        kinds = [line for line in self._all("Classifier") if line.startswith("License ::")]
        return " and ".join(line.rpartition(" :: ")[2] for line in kinds)

    @property
    def address(self) -> str:
        """Its home page, or its repository; empty if it names none."""
        pages = dict(line.split(", ", 1) for line in self._all("Project-URL") if ", " in line)
        named = {name.lower(): page for name, page in pages.items()}
        found = (named.get(name) for name in ("homepage", "home", "repository", "source", "source code"))
        return self._said("Home-page") or next((page for page in found if page), "")

    def _all(self, key: str) -> list[str]:
        return [str(value) for value in self.distribution.metadata.get_all(key) or []]

    def _said(self, key: str) -> str:
        return next(iter(self._all(key)), "")

    def texts(self) -> dict[str, str]:
        """Return the texts of its licences and notices by their paths."""
        found = {}
        for path in self.distribution.files or []:
            if path.name.upper().startswith(LICENCE_NAMES) and path.suffix not in (".py", ".pyc", ".h"):
                place = Path(str(path.locate()))
                if place.is_file():
                    found[str(path)] = place.read_text(encoding="utf-8", errors="replace").strip()
        return found


def closure(packages: Path, roots: Iterable[str]) -> dict[str, Package]:
    """Return what the requirements bring, themselves included, by normalised names.

    Args:
        packages: an environment's folder site-packages.
        roots: requirements such as "trimode[serve]".

    Raises:
        MissingError: one of them, or what it needs, is not installed there.
    """
    installed = {
        canonicalize_name(one.metadata["Name"]): one for one in importlib.metadata.distributions(path=[str(packages)])
    }
    found: dict[str, Package] = {}
    left = [("", Requirement(root)) for root in roots]
    done = set()
    while left:
        asker, wanted = left.pop()
        name = canonicalize_name(wanted.name)
        if name not in installed:
            raise MissingError(f"{packages} lacks {wanted}" + (f", which {asker} needs" if asker else ""))
        package = found.setdefault(name, Package(name, installed[name]))
        if asker and asker != name:
            found[asker].needs.add(name)
        for extra in ("", *sorted(wanted.extras)):
            if (name, extra) in done:
                continue
            done.add((name, extra))
            for line in package.distribution.requires or []:
                needed = Requirement(line)
                plain = needed.marker is None or needed.marker.evaluate({"extra": ""})
                if plain != bool(extra) and (needed.marker is None or needed.marker.evaluate({"extra": extra})):
                    left.append((name, needed))
    return found
