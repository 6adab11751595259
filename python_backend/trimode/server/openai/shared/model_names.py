"""The names of the models that are served: each base name, and with a colon the same model in one of the modes.

A mode in the name passes every router and client, which drop fields that they do not know.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ....api.fields import Mode
from .errors import no_model

UNUSUAL = re.compile(r"[^A-Za-z0-9._/+@:-]+")
LISTED = tuple(mode for mode in Mode if mode is not Mode.AUTO)
"""Modes that the list of models shows; `auto` is what the base name does unless model.yaml says otherwise."""


def sane(name: str) -> str:
    """Return a checkpoint's name as clients can send it: in URLs and shells, without a part that looks like a mode."""
    plain = UNUSUAL.sub("-", name).strip("-/:") or "model"
    base, colon, last = plain.rpartition(":")
    return f"{base}-{last}" if colon and last in list(Mode) else plain


@dataclass(frozen=True)
class ModelNames:
    """The base names, of which the first is the model's own, and the modes that the model has."""

    names: tuple[str, ...]
    modes: tuple[str, ...] = tuple(Mode)

    @classmethod
    def of(cls, given: Sequence[str], checkpoint: str, modes: tuple[str, ...] = tuple(Mode)) -> ModelNames:
        """Return the names that the operator gave, or the checkpoint's."""
        return cls(tuple(dict.fromkeys(given)) or (sane(checkpoint),), modes)

    def listed(self) -> list[str]:
        """Return every name that the list of models shows."""
        modes = [mode for mode in LISTED if mode in self.modes]
        return [*self.names, *(f"{name}:{mode}" for name in self.names for mode in modes)]

    def every(self) -> list[str]:
        """Return every name that a request may give."""
        return [*self.names, *(f"{name}:{mode}" for name in self.names for mode in Mode)]

    def has(self, name: str) -> bool:
        """Return whether `name` is one of them, in a mode or without."""
        base, _, mode = name.rpartition(":")
        return name in self.names or (base in self.names and mode in list(Mode))

    def mode_of(self, name: str) -> Mode | None:
        """Return the mode in `name`; None if it has none.

        Raises:
            FaceError: no model has this name.
        """
        if not self.has(name):
            raise no_model(name)
        return None if name in self.names else Mode(name.rpartition(":")[2])
