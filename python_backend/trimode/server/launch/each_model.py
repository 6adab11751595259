"""The options of each model of a server, and the names by which callers tell its models apart.

What an option or a variable sets holds for every model; bundle and name are each one's own.
"""

from __future__ import annotations

import argparse
import re
import threading
from pathlib import Path

from ...api.tensors import MODEL_NAME
from ...bundle.manifest import Manifest
from ...errors import ServeError, shorten
from ..openai.shared.model_names import ModelNames
from .gpu_repository import SETTINGS

NOT_IN_PATHS = re.compile(r"[^A-Za-z0-9._+-]+")
"""What Triton cannot have in the name of a model, which is a folder's."""
OF_ALL = "stats"
"""What stands in a path of KServe's where a model's name may, and tells of all models."""


def each_model(options: argparse.Namespace) -> list[argparse.Namespace]:
    """Return the options of each model: of one bundle those that were given, of several each with its own names.

    Raises:
        BundleError: one of several bundles is missing or has no manifest.
        ServeError: the names are fewer or more than the bundles, two are the same, or there are settings for a model
            that is not served.
    """
    bundles, names = options.bundle, options.served_model_name
    if len(bundles) < 2:
        return [_with(options, bundle=bundles[0] if bundles else None)]
    if names and len(names) != len(bundles):
        text = f"--served-model-name must be given once for each of the {len(bundles)} bundles, in their order, or not"
        raise ServeError(f"{text} at all, got {len(names)}")
    made, known = [], KnownNames()
    for number, bundle in enumerate(bundles):
        own = names[number : number + 1]
        named = ModelNames.of(own, Manifest.load(bundle.resolve()).model)
        served = named.names[0]
        name = kserve_name(served) if number else MODEL_NAME
        if name == OF_ALL:
            raise ServeError(
                f"no model may be served as {OF_ALL}: /v2/models/{OF_ALL} tells of all; give it another name"
            )
        known.take(number, name, named)
        each = {"bundle": bundle, "served_model_name": own, "number": number, "model_name": name}
        made.append(_with(options, **each, whose=f"{served}: "))
    _check_settings(options.model_repository, [one.model_name for one in made])
    return made


def kserve_name(served: str) -> str:
    """Return the name of a model for KServe's clients: that for OpenAI's, with dashes for what Triton cannot have."""
    return NOT_IN_PATHS.sub("-", served).strip("-.") or "model"


def _with(options: argparse.Namespace, **changed: object) -> argparse.Namespace:
    return argparse.Namespace(**{**vars(options), **changed})


def _check_settings(repository: Path, names: list[str]) -> None:
    for path in sorted(repository.glob(f"*/{SETTINGS}")):
        if path.parent.name not in names:
            raise ServeError(f"{path} sets nothing: the models of this server are {', '.join(names)}")


class KnownNames:
    """The names of all models of a server, each of which is one model's. Threads may ask at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._names: dict[int, set[str]] = {}  # by the model's number

    def take(self, number: int, model_name: str, names: ModelNames) -> None:
        """Let the model with this number have `model_name` with KServe's clients, and `names` in all modes.

        Raises:
            ServeError: another model has one of them; then it keeps those that it had.
        """
        wanted = {model_name, *names.every()}
        with self._lock:
            for other, taken in self._names.items():
                if other != number and (both := wanted & taken):
                    text = f"two models have the name {shorten(min(both, key=len))}"
                    raise ServeError(f"{text}; tell them apart with --served-model-name, once for each bundle")
            self._names[number] = wanted
