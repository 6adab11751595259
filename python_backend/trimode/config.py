"""ServerConfig: how the server runs, from model.yaml, which lies next to config.pbtxt, and the environment.

Facts about the engine are in the bundle's manifest, never here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import yaml

from .api.fields import Mode
from .errors import ConfigError

ENVIRONMENT = {
    "TRIMODE_BUNDLE": "bundle",
    "TRIMODE_THREADS": "threads",
    "TRIMODE_MAX_SLOTS": "max_slots",
    "TRIMODE_MAX_QUEUE": "max_queue",
    "TRIMODE_PREFIX_CACHE_MIB": "prefix_cache_mib",
    "TRIMODE_DEVICE": "device",
}


@dataclass(frozen=True)
class ServerConfig:
    """Everything an operator can set.

    Attributes:
        bundle: folder of the engine bundle; relative to the repository's root when not absolute.
        threads: threads of the engine; 0 takes every core.
        spin: engine threads wait for the next operator by spinning, within a call and shortly.
        max_slots: sequences decoded at once.
        max_queue: requests waiting beyond that; one more is answered "overloaded".
        prefill_chunk: most prompt tokens of one pass.
        prefix_cache_mib: memory for keys and values of texts read before; 0 keeps none.
        default_mode, default_max_tokens: for requests that name none.
        device: index of the GPU that an engine for GPUs opens on; an instance that Triton placed on one takes that.
    """

    bundle: Path = Path("build/out/nano-float32")
    threads: int = 0
    spin: bool = True
    max_slots: int = 16
    max_queue: int = 64
    prefill_chunk: int = 256
    prefix_cache_mib: int = 64
    default_mode: Mode = Mode.AUTO
    default_max_tokens: int = 128
    device: int = 0

    def __post_init__(self) -> None:
        """Check ranges.

        Raises:
            ConfigError: a value is out of range.
        """
        for name, low, high in (
            ("threads", 0, 1024),
            ("max_slots", 1, 1024),
            ("max_queue", 0, 1_000_000),
            ("prefill_chunk", 1, 8192),
            ("prefix_cache_mib", 0, 1_000_000),
            ("default_max_tokens", 1, 1_000_000),
            ("device", 0, 1023),
        ):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
                raise ConfigError(f"{name} must be an integer between {low} and {high}, got {value!r}")

    @classmethod
    def load(cls, path: Path, environment: Mapping[str, str] = os.environ) -> ServerConfig:
        """Read `path`, then let TRIMODE_* variables win.

        Raises:
            ConfigError: unreadable, an unknown key or a value of the wrong kind.
        """
        try:
            raw = yaml.safe_load(path.read_text(encoding="utf-8"))
            raw = {} if raw is None else raw
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as exc:
            raise ConfigError(f"{path} cannot be read: {exc}") from exc
        if not isinstance(raw, dict) or not all(isinstance(key, str) for key in raw):
            raise ConfigError(f"{path} must hold a mapping of keys to values")
        for variable, key in ENVIRONMENT.items():
            if variable in environment:
                raw[key] = environment[variable]
        return cls.from_mapping(raw)

    @classmethod
    def from_mapping(cls, raw: Mapping[str, Any]) -> ServerConfig:
        """Build from plain values, refusing unknown keys."""
        plain = cls()
        known = {f.name for f in fields(cls)}
        if unknown := sorted(set(raw) - known):
            raise ConfigError(f"unknown keys {unknown}; known are {sorted(known)}")
        return replace(plain, **{key: _like(getattr(plain, key), key, value) for key, value in raw.items()})


def _like(default: object, key: str, value: object) -> Any:
    """Return `value` as the kind of `default`; environment variables are text, so digits count as an integer."""
    match default:
        case bool():
            if isinstance(value, bool):
                return value
        case int():
            if isinstance(value, int) and not isinstance(value, bool):
                return value
            if isinstance(value, str) and value.isascii() and value.isdigit():
                return int(value)
        case Mode():
            if isinstance(value, str) and value in list(Mode):
                return Mode(value)
        case Path():
            if isinstance(value, str | Path):
                return Path(value)
    expected = "one of " + ", ".join(Mode) if isinstance(default, Mode) else type(default).__name__
    raise ConfigError(f"{key} must be {expected}, got {value!r}")
