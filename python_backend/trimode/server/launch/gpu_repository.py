"""A model repository with a config of its own and links to all other files: for GPUs, modes and names of its own.

Knows nothing of processes or ports.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...api.tensors import MODEL_NAME, config_pbtxt
from ...bundle.manifest import ALL_MODES
from ...errors import ServeError

SETTINGS = "model.yaml"
MAX_GPU = 1023  # an index; as in ServerConfig.device, far above what a machine has


def parse_gpus(text: str) -> tuple[int, ...]:
    """Read `--gpus`: indices of GPUs, as CUDA counts them, separated by commas.

    Raises:
        ServeError: something is not an index, is out of range, or is given twice.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and int(part) <= MAX_GPU for part in parts):
        raise ServeError(
            f"--gpus must be indices between 0 and {MAX_GPU} separated by commas, such as 0,1, got {text!r}"
        )
    gpus = tuple(map(int, parts))
    if len(set(gpus)) < len(gpus):
        raise ServeError(f"--gpus must name each GPU once, got {text!r}")
    return gpus


def settings_of(repository: Path, name: str) -> Path:
    """Return the file with the settings of the model of this name: its own if there is one, else the first model's."""
    own = repository / name / SETTINGS
    return own if own.is_file() else repository / MODEL_NAME / SETTINGS


def on_gpus(
    repository: Path,
    gpus: Sequence[int],
    folder: Path,
    modes: Sequence[str] = ALL_MODES,
    name: str = MODEL_NAME,
) -> Path:
    """Return a repository in `folder` whose model has an instance on each of `gpus`; its other files are links.

    Args:
        modes: of the model; unless it has all, its config names them.
        name: the model's; see settings_of.
    """
    source, target = repository / MODEL_NAME, folder / "model_repository" / name
    for file in source.rglob("*"):
        if file.is_file() and "__pycache__" not in file.parts:
            link = target / file.relative_to(source)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(file)
    config = target / "config.pbtxt"
    config.unlink(missing_ok=True)
    config.write_text(config_pbtxt(gpus, () if modes == ALL_MODES else modes, name), encoding="utf-8")
    if (settings := settings_of(repository, name)).parent != source:
        (target / SETTINGS).unlink(missing_ok=True)
        (target / SETTINGS).symlink_to(settings)
    return target.parent
