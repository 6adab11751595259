"""The shim for old module names; kept for one release."""

from .finder import find, install, warn
from .tables import MOVED, PROGRAMS, RENAMED, TUNED

__all__ = ["MOVED", "PROGRAMS", "RENAMED", "TUNED", "find", "install", "warn"]
