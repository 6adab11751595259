"""Served: a bundle that was read and checked, with all that the server needs to know of it."""

from __future__ import annotations

import argparse
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ...bundle import digests
from ...bundle.manifest import Manifest
from ...config import AUTO, ServerConfig
from ...errors import BundleError, ServeError
from ...logs.setup import serve_log
from ..openai.shared.facts import Facts
from ..ports import Ports
from .command import Launch, keys_given
from .environment import variables
from .gpu_repository import parse_gpus, settings_of
from .limits import check_limits
from .options import TRITON_OPTIONS, parser

ON_GPUS = ("tensorrt", "torch")
"""The runtimes of bundles that can be served on several GPUs."""
MUCH_TO_READ = 2**30  # bytes of a bundle from which the log says that they are read


@dataclass(frozen=True)
class Served:
    """What is served.

    Attributes:
        state: of the bundle's files when they were checked.
        gpus: those of `--gpus`.
    """

    repository: Path
    bundle: Path
    manifest: Manifest
    config: ServerConfig
    state: str
    gpus: tuple[int, ...]
    facts: Facts

    @classmethod
    def read(cls, options: argparse.Namespace, stopping: threading.Event) -> Served:
        """Read model.yaml and the bundle that it or an option names, and check the bundle's files.

        Raises:
            StoppedError: `stopping` was set while the files were read.
            BundleError: the bundle is missing, broken or damaged.
            ConfigError: a setting cannot be.
            ServeError: this machine or its limits are too small, or `--gpus` does not fit the bundle.
        """
        repository = options.model_repository.resolve()
        config = configuration(settings_of(repository, options.model_name), keys_given(options))
        bundle = (options.bundle or repository.parent / config.bundle).resolve()
        manifest = Manifest.load(bundle)
        config.check_modes(manifest.modes)
        state = checked(bundle, manifest, everything=options.verify, stopping=stopping)
        check_limits(bundle)
        gpus = gpus_for(options.gpus, manifest)
        facts = Facts.load(bundle, manifest, config, options.served_model_name)
        return cls(repository, bundle, manifest, config, state, gpus, facts)

    def launch(self, options: argparse.Namespace, folder: Path, ports: Ports | None = None) -> Launch:
        """Return how a tritonserver of it is started; see Launch.prepare."""
        made = Launch.prepare(options, self.repository, self.bundle, self.gpus, folder, self.manifest.modes, ports)
        made.environment[digests.STATE] = self.state
        return made


def check_together(served: Served, models: int) -> None:
    """Check that a model can be served as one of so many.

    Raises:
        ServeError: it takes as many slots as fit the memory, and so does not leave any for the others.
    """
    if models > 1 and served.config.max_slots == AUTO:
        text = f"max_slots must be a number for {served.facts.names.names[0]}, as {models} models share the memory"
        raise ServeError(f"{text}, got {AUTO}, which takes all that is free")


def configuration(path: Path, given: Mapping[str, str]) -> ServerConfig:
    """Return what model.yaml, the environment and `given` set; variables of the command line are not misspelt ones."""
    others = [*variables(parser()), TRITON_OPTIONS]
    return ServerConfig.load(path, {**os.environ, **given}, others)


def checked(bundle: Path, manifest: Manifest, *, everything: bool, stopping: threading.Event) -> str:
    """Check the bundle's files, and return the state in which they are; `everything` reads those that were checked too.

    Raises:
        BundleError: a file is damaged, or cannot be read.
        StoppedError: `stopping` was set while the files were read.
    """
    try:
        size = digests.total_bytes(bundle, manifest)
    except OSError as exc:
        raise BundleError(f"a file of {bundle} cannot be read: {exc}") from exc
    if size > MUCH_TO_READ and (everything or not digests.is_checked(bundle, manifest)):
        serve_log.info("reading the %.1f GB of %s to check them", size / 1e9, bundle)
    return digests.check(bundle, manifest, everything=everything, stopping=stopping)


def gpus_for(text: str | None, manifest: Manifest) -> tuple[int, ...]:
    """Return the GPUs that `--gpus` names, none without it.

    Raises:
        ServeError: the text is not a list of indices, or the bundle's engine does not run on GPUs.
    """
    if text is None:
        return ()
    if manifest.runtime not in ON_GPUS:
        limit = f"--gpus needs a bundle for {' or '.join(ON_GPUS)}"
        raise ServeError(f"{limit}, {manifest.model} was built for {manifest.runtime}")
    return parse_gpus(text)
