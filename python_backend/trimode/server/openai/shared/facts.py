"""What the endpoints know of the model that is served: its names, its tokenizer, its limits, and this face's defaults.

Reads the bundle's files. Knows nothing of requests.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ....api.fields import MAX_BLOCK_LENGTH, Mode
from ....bundle.manifest import GENERATION_CONFIG, TOKENIZER_CONFIG, Manifest
from ....config import ServerConfig
from ....errors import BundleError
from ....text.tokenizer import Tokenizer, tokenizer_of
from ..tools.form_table import ARRAY, Form, form_of
from .model_names import ModelNames
from .table import MAX_TEMPERATURE


@dataclass(frozen=True)
class Facts:
    """Facts about the model.

    Attributes:
        tokenizer: None if the bundle has none; then prompts are ids, and answers have no text.
        capacity: most tokens of prompt, answer and one block.
        block_length: tokens of a block where the request does not say.
        end_id: the token that ends an answer.
        mode: the mode of a request that names none.
        temperature, top_p: of a request that does not say; None leaves it to generate.
        calls: how the model writes calls of tools.
        tokenizer_config: what tokenizer_config.json says; nothing without one.
        most_images: pictures that a request may have; 0 where the model reads text alone.
        created: when the server started, in seconds since 1970; models have such a date.
    """

    names: ModelNames
    tokenizer: Tokenizer | None
    capacity: int
    block_length: int
    end_id: int
    mode: Mode = Mode.AUTO
    temperature: float | None = None
    top_p: float | None = None
    calls: Form = ARRAY
    tokenizer_config: Mapping[str, Any] = field(default_factory=dict)
    most_images: int = 0
    created: int = field(default_factory=lambda: int(time.time()))

    @classmethod
    def load(cls, bundle: Path, manifest: Manifest, config: ServerConfig, names: Sequence[str]) -> Facts:
        """Read the bundle's tokenizer, its config and generation_config.json; `names` are those that the operator gave.

        Raises:
            BundleError: a file is there but cannot be read.
        """
        generation = _read(bundle / GENERATION_CONFIG)
        sampled = generation.get("do_sample") is not False
        tokenizer = tokenizer_of(bundle, manifest)
        return cls(
            ModelNames.of(names, manifest.model, manifest.modes),
            tokenizer,
            manifest.capacity,
            min(manifest.block_size, MAX_BLOCK_LENGTH),
            manifest.eos_token_id,
            config.default_mode,
            _number(generation.get("temperature"), MAX_TEMPERATURE) if sampled else None,
            _number(generation.get("top_p"), 1.0) if sampled else None,
            form_of("" if tokenizer is None else tokenizer.template_text),
            _read(bundle / TOKENIZER_CONFIG),
            0 if manifest.vision is None else config.max_images,
        )


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise BundleError(f"{path} cannot be read: {exc}") from exc
    return found if isinstance(found, dict) else {}


def _number(value: object, most: float) -> float | None:
    """Return a default that requests could give too; None for anything else."""
    usable = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= most
    return float(value) if usable else None  # type: ignore[arg-type]  # usable: it is a number
