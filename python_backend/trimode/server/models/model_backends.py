"""ModelBackends: all models behind the fronts, found by name, and the state of the server that they make together."""

from __future__ import annotations

from collections.abc import Iterator

from ...api.tensors import MODEL_VERSION
from ...errors import Refusal, shorten
from .model_backend import ModelBackend


class ModelBackends:
    """The models of one server, of which the first answers for the server itself."""

    def __init__(self, *models: ModelBackend) -> None:
        self._models = models

    def __iter__(self) -> Iterator[ModelBackend]:
        """Give each model, in the order in which they were named."""
        return iter(self._models)

    @property
    def first(self) -> ModelBackend:
        """The model that was named first."""
        return self._models[0]

    @property
    def several(self) -> bool:
        """Whether there is more than one."""
        return len(self._models) > 1

    @property
    def to_ask(self) -> list[ModelBackend]:
        """The models that are asked about all of them: those that serve, or where none does all, which say why."""
        return [model for model in self._models if model.state.alive] or [*self._models]

    @property
    def alive(self) -> bool:
        """Whether the backends of all models serve."""
        return all(model.state.alive for model in self._models)

    @property
    def stopping(self) -> bool:
        """Whether the server is ending in order."""
        return any(model.state.stopping for model in self._models)

    def find(self, name: str, version: str = "") -> ModelBackend:
        """Return the model of KServe's `name`, or of another name that it has.

        Triton 2.51 can crash on a name or version that is not served, in the middle of a stream.

        Raises:
            Refusal: it is not served here.
        """
        found = next((model for model in self._models if model.name == name), None)
        found = found or next((model for model in self._models if name in model.others), None)
        if found is None:
            served = ", ".join(model.name for model in self._models)
            raise Refusal("not_found", f"there is no model {shorten(name)}; this server has {served}")
        if version not in ("", MODEL_VERSION):
            raise Refusal("not_found", f"{found.name} has no version {shorten(version)}, only {MODEL_VERSION}")
        return found
