"""Old module names, kept for one release: `import trimode.output` still works and warns where things are now.

Found only where Python finds no such module itself. Knows names; imports a new module when something of it is asked
for. `python -m trimode.serve` and the other old programs run their new ones. CHANGELOG.md has the same table.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType

from .tables import MOVED, PROGRAMS, RENAMED, TUNED


def find(module: str, name: str) -> object:
    """Return what was `name` in the old `module`.

    Raises:
        AttributeError: it is gone; says where the rest of its module went.
    """
    if (place := RENAMED.get(f"{module}:{name}")) is not None:
        target, _, renamed = place.partition(":")
        return getattr(import_module(target), renamed)
    if (field := TUNED.get(module, {}).get(name)) is not None:
        return getattr(import_module("trimode.auto.tuning").TUNING, field)
    if name == "__all__":  # of a star import
        return _public_names(module)
    for target in MOVED[module] if not name.startswith("__") else ():
        found = import_module(target)
        if hasattr(found, name):
            return getattr(found, name)
    places = ", ".join(MOVED[module])
    raise AttributeError(f"module {module!r} has no attribute {name!r}; what it had is in {places} (CHANGELOG.md)")


def _public_names(module: str) -> list[str]:
    """Return what a star import of the old `module` binds."""
    own = {old.partition(":")[2] for old in RENAMED if old.startswith(f"{module}:")} | set(TUNED.get(module, ()))
    for target in MOVED[module]:
        found = import_module(target)
        own |= {name for name, value in vars(found).items() if getattr(value, "__module__", target) == target}
    return sorted(name for name in own if not name.startswith("_"))


def warn(module: str) -> None:
    """Warn whoever imports the old `module` where it is now."""
    text = f"{module} is now {MOVED[module][0]}; the old name goes with the next release"
    warnings.warn(text, DeprecationWarning, stacklevel=3)


class _OldModules(MetaPathFinder, InspectLoader):
    """Finds and loads the modules of MOVED."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return a spec for an old module, None for any other."""
        if fullname not in MOVED:
            return None
        is_package = any(other.startswith(f"{fullname}.") for other in MOVED)
        return ModuleSpec(fullname, self, origin=MOVED[fullname][0], is_package=is_package)

    def exec_module(self, module: ModuleType) -> None:
        """Make the old module a place where names are looked up in the new ones."""
        name = module.__name__
        warn(name)
        module.__dict__["__getattr__"] = lambda attribute: find(name, attribute)

    def get_code(self, fullname: str) -> CodeType:
        """Return the program that `python -m` runs."""
        program = PROGRAMS.get(fullname, MOVED[fullname][0])
        text = f"{fullname} is now {program}; the old name goes with the next release"
        lines = (
            "import runpy, sys",
            f"print({text!r}, file=sys.stderr)",
            f"runpy.run_module({program!r}, {{}}, '__main__')",
        )
        return compile("\n".join(lines), f"<{fullname}>", "exec")

    def get_source(self, fullname: str) -> None:
        """There is none."""


def install() -> None:
    """Have old names found from now on; a second call does nothing."""
    if not any(type(finder).__qualname__ == _OldModules.__qualname__ for finder in sys.meta_path):
        sys.meta_path.append(_OldModules())
