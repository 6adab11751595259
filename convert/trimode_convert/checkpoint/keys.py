"""Keys: a JSON object of a checkpoint's file, whose every error names the file and the key. Knows no key's meaning."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trimode.errors import CheckpointError

from . import plain_file

# The most of each count that is taken: far beyond every model, and too little to fill the memory with what is computed
# from it alone, before a tensor is missed.
MOST = {
    "num_hidden_layers": 1024, "vocab_size": 1 << 24, "hidden_size": 1 << 20, "intermediate_size": 1 << 24,
    "num_attention_heads": 1 << 16, "num_key_value_heads": 1 << 16, "head_dim": 1 << 16, "block_size": 1 << 16,
    "r": 1 << 16,
    # GGUF's names of the same
    "block_count": 1024, "embedding_length": 1 << 20, "feed_forward_length": 1 << 24,
    "attention.head_count": 1 << 16, "attention.head_count_kv": 1 << 16, "attention.key_length": 1 << 16,
}  # fmt: skip
ANY_COUNT = (1 << 31) - 1  # of positions: what an engine's int32 holds
LARGEST = 1e30  # of the other numbers; a float32 holds it


@dataclass(frozen=True)
class Keys:
    """A JSON object and the file it comes from, so that every error names the file and the key."""

    path: Path
    values: Mapping[str, Any]
    prefix: str = ""

    @classmethod
    def load(cls, path: Path) -> Keys:
        """Read a JSON file that holds an object.

        Raises:
            CheckpointError: missing, unreadable, or not an object.
        """
        plain_file.check(path)
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except OSError as exc:
            raise CheckpointError(f"{path}: cannot be read: {exc.strerror}") from exc
        except ValueError as exc:
            raise CheckpointError(f"{path}: is not JSON: {exc}") from exc
        if not isinstance(values, dict):
            raise CheckpointError(f"{path}: expected an object, found {type(values).__name__}")
        return cls(path, values)

    def error(self, name: str, expected: str, found: object) -> CheckpointError:
        """Return the error that names file, key, expected and found."""
        return CheckpointError(f"{self.path}: {self.prefix}{name}: expected {expected}, found {found!r}")

    def get(self, name: str) -> Any:
        """Return a required key's value."""
        if name not in self.values:
            raise CheckpointError(f"{self.path}: {self.prefix}{name}: the key is missing")
        return self.values[name]

    def count(self, name: str) -> int:
        """Return a required positive integer, up to its entry in MOST."""
        value, most = self.get(name), MOST.get(name, ANY_COUNT)
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
            raise self.error(name, f"a positive integer up to {most}", value)
        return value

    def number(self, name: str, default: float | None = None) -> float:
        """Return a positive number; without a default the key is required."""
        value = self.get(name) if default is None else self.values.get(name, default)
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not _is_fit(value, default):
            raise self.error(name, "a positive number", value)
        return float(value)

    def token(self, name: str) -> int:
        """Return a required token id, inside the vocabulary."""
        value = self.get(name)
        vocab = self.count("vocab_size")
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < vocab:
            raise self.error(name, f"a token id below {vocab}", value)
        return value

    def flag(self, name: str) -> bool:
        """Return a required true or false."""
        value = self.get(name)
        if not isinstance(value, bool):
            raise self.error(name, "true or false", value)
        return value


def _is_fit(value: float, default: float | None) -> bool:
    """Whether a number is positive and finite, or the default; JSON as Python reads it may hold NaN."""
    return value == default or 0 < value < LARGEST
