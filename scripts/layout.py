"""`make layout`: the rooms, floors and arrows of each package, counted from the code's own import statements.

A room is a file or folder directly inside a package; an arrow is an import from one room into another; a room's floor
is one above the highest room that it imports. Needs the standard library only, and runs nothing that it reads.
"""

from __future__ import annotations

import argparse
import ast
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = (
    "python_backend/trimode",
    "convert/trimode_convert",
    "client/trimode_client",
    "train/trimode_train",
    "perf/trimode_perf",
)


@dataclass(frozen=True)
class Import:
    """One import: the file and line it stands on, and the full dotted name it asks for."""

    path: Path
    line: int
    name: str


def modules(package: Path) -> dict[str, Path]:
    """Return every module of `package` by its dotted name, the package's own name included."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path, package: Path) -> Iterator[Import]:
    """Yield what `path`, a file of `package`, imports anywhere in it; relative names are resolved."""
    here = path.relative_to(package.parent).parent.parts
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError) as exc:
        raise SystemExit(f"{path} cannot be read: {exc}") from exc
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(path, node.lineno, alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = [*here[: max(len(here) - node.level + 1, 0)]] if node.level else []
            base += node.module.split(".") if node.module else []
            for alias in node.names:
                yield Import(path, node.lineno, ".".join([*base, alias.name]))


def module_of(name: str, known: dict[str, Path]) -> str | None:
    """Return the module that a dotted name is, or is taken from; None where it is no module of the package."""
    while name and name not in known:
        name = name.rpartition(".")[0]
    return name or None


def room_of(module: str) -> str:
    """Return the room of a module: `trimode.api.fields` stands in `api`; a package's own file is no room, ""."""
    return module.split(".")[1] if "." in module else ""


@dataclass(frozen=True)
class House:
    """A package's rooms, and for each the rooms that it imports with the imports that are the arrow."""

    name: str
    arrows: dict[str, dict[str, list[Import]]]

    @classmethod
    def of(cls, package: Path) -> House:
        """Read `package`; `__init__` of the package itself is its face and no room."""
        known = modules(package)
        arrows: dict[str, dict[str, list[Import]]] = {room_of(name): {} for name in known if room_of(name)}
        for name, path in known.items():
            room = room_of(name)
            for one in imports(path, package) if room else ():
                target = module_of(one.name, known)
                other = room_of(target) if target else ""
                if other and other != room:
                    arrows[room].setdefault(other, []).append(one)
        return cls(package.name, arrows)

    @property
    def count(self) -> int:
        """How many arrows there are."""
        return sum(len(targets) for targets in self.arrows.values())

    def floors(self) -> dict[str, int]:
        """Return the floor of each room, 1 for one that imports no other; rooms of a circle are left out."""
        floors: dict[str, int] = {}
        left = {room: set(targets) for room, targets in self.arrows.items()}
        while ready := [room for room, targets in left.items() if targets <= floors.keys()]:
            for room in ready:
                floors[room] = 1 + max((floors[target] for target in left.pop(room)), default=0)
        return floors

    def circle(self) -> set[str]:
        """Return the rooms that stand in, or above, a circle of imports; none in a sound house."""
        return self.arrows.keys() - self.floors().keys()

    def summary(self) -> dict[str, object]:
        """Return the figures as JSON-ready data."""
        floors = self.floors()
        return {
            "package": self.name,
            "rooms": len(self.arrows),
            "floors": max(floors.values(), default=0),
            "arrows": self.count,
            "circle": sorted(self.circle()),
            "by_room": {
                room: {"floor": floors.get(room), "imports": sorted(self.arrows[room])}
                for room in sorted(self.arrows, key=lambda room: (-floors.get(room, 99), room))
            },
        }


def shown(house: House) -> str:
    """Return a house as text, the top floor first."""
    floors = house.floors()
    top = max(floors.values(), default=0)
    lines = [f"{house.name}: {len(house.arrows)} rooms, {top} floors, {house.count} arrows"]
    if circle := house.circle():
        lines.append(f"  CIRCLE in or below: {', '.join(sorted(circle))}")
    for floor in range(top, 0, -1):
        for room in sorted(room for room, at in floors.items() if at == floor):
            targets = ", ".join(sorted(house.arrows[room])) or "-"
            lines.append(f"  {floor:2d}  {room:16s} -> {targets}")
    return "\n".join(lines)


def main() -> int:
    """Print every package; with `--json` as data."""
    parser = argparse.ArgumentParser(prog="make layout", description="Print rooms, floors and arrows of packages.")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("packages", nargs="*", default=PACKAGES, metavar="FOLDER", help="packages [all five]")
    options = parser.parse_args()
    for package in options.packages:
        if not (ROOT / package / "__init__.py").is_file():
            parser.error(f"{package} is no package")
    houses = [House.of(ROOT / package) for package in options.packages]
    if options.json:
        print(json.dumps([house.summary() for house in houses], indent=2))
    else:
        print("\n\n".join(shown(house) for house in houses))
    return 0


if __name__ == "__main__":
    sys.exit(main())
