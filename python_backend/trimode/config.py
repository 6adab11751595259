"""ServerConfig: how the server runs, from model.yaml, which lies next to config.pbtxt, and the environment.

Facts about the engine are in the bundle's manifest, never here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

import yaml

from .api.fields import Mode
from .api.reveals import RULE_FILES
from .api.rows.streams import EVERY_TOKEN, conflict
from .bundle.digests import STATE
from .errors import ConfigError
from .logs.setup import FORM_VARIABLE, LEVEL_VARIABLE
from .tracing.spans import ENDPOINT_VARIABLE
from .vision.addresses import AllowedHosts

AUTO = "auto"
"""What a setting with `auto` says for: as much as suits the machine."""
MANY = 1_000_000
"""An upper bound that no real setting reaches; it catches a slip of the keyboard."""


@dataclass(frozen=True)
class Setting:
    """What is known of one key of model.yaml: the row from which its check, its help and its documentation come.

    Attributes:
        help: what it does, with its unit.
        low, high: inclusive range of an integer; None for any other kind.
        auto: whether the word AUTO will do in place of an integer.
    """

    help: str
    low: int | None = None
    high: int | None = None
    auto: bool = False


def _about(help: str, low: int | None = None, high: int | None = None, *, auto: bool = False) -> dict[str, Setting]:
    """Return the metadata of a field of ServerConfig: its row."""
    return {"setting": Setting(help, low, high, auto)}


@dataclass(frozen=True)
class ServerConfig:
    """Everything an operator can set. The meaning of each key stands in its row; `settings` returns the rows."""

    bundle: Path = field(
        default=Path("build/out/nano-float32"),
        metadata=_about(
            "Folder of the engine bundle. A relative path starts at the folder that holds `model_repository`."
        ),
    )
    threads: int = field(
        default=0,
        metadata=_about("Threads of an engine on the CPU; 0 takes every core.", 0, 1024),
    )
    spin: bool = field(
        default=True,
        metadata=_about(
            "Threads of an engine on the CPU wait for the next operator of a call by spinning, for up to 50 µs. "
            "False leaves more processor time to other programs on the machine. PyTorch ignores it."
        ),
    )
    max_slots: int | Literal["auto"] = field(
        default=16,
        metadata=_about(
            "Most sequences that are decoded at once. `auto` takes as many as fit the free memory of the GPU, or of "
            "the machine and its control group, up to 64 and to the rows that a TensorRT plan was compiled for; the "
            "log says how many.",
            1,
            1024,
            auto=True,
        ),
    )
    max_queue: int = field(
        default=64,
        metadata=_about(
            "Most requests that wait for a slot; one more is refused with `overloaded`, or one of a caller with more "
            "waiting requests makes room for it.",
            0,
            MANY,
        ),
    )
    prefill_chunk: int = field(default=256, metadata=_about("Most prompt tokens that one pass reads.", 1, 8192))
    prefix_cache_mib: int = field(
        default=64,
        metadata=_about(
            "Memory in MiB for the keys and values of texts read before; 0 turns the prefix cache off, and so does an "
            "engine on a GPU.",
            0,
            MANY,
        ),
    )
    picture_cache_mib: int = field(
        default=256,
        metadata=_about(
            "Memory in MiB for pictures that were encoded; 0 keeps none. A model that reads text alone takes none.",
            0,
            MANY,
        ),
    )
    max_images: int = field(
        default=8,
        metadata=_about("Most pictures of a request, where the model reads pictures.", 1, 1024),
    )
    allowed_media_domains: str = field(
        default="",
        metadata=_about(
            "Hosts that pictures may be fetched from, separated by commas, each `NAME` or `NAME:PORT`. Without one "
            "none is fetched. Private addresses are never asked."
        ),
    )
    default_mode: Mode = field(default=Mode.AUTO, metadata=_about("`mode` of a request that does not give it."))
    default_max_tokens: int = field(
        default=128, metadata=_about("`max_tokens` of a request that does not give it.", 1, MANY)
    )
    device: int = field(
        default=0,
        metadata=_about(
            "Index of the GPU on which an engine for GPUs opens. "
            "An instance that Triton placed on a GPU takes that one instead.",
            0,
            1023,
        ),
    )
    stream_interval: int = field(
        default=0,
        metadata=_about(
            "`stream_interval` of a request that gives neither interval. 0 counts no tokens; with 0 for both, each is "
            "sent when it is there.",
            0,
            MANY,
        ),
    )
    stream_interval_ms: int = field(
        default=0,
        metadata=_about(
            "`stream_interval_ms` of a request that gives neither interval. It has no effect with a `stream_interval` "
            "of 1, which is refused.",
            0,
            MANY,
        ),
    )

    def __post_init__(self) -> None:
        """Check ranges.

        Raises:
            ConfigError: a value is out of range or no list of hosts, or two have no meaning together.
        """
        for name, setting in settings().items():
            value = getattr(self, name)
            if setting.low is None or setting.high is None or (setting.auto and value == AUTO):
                continue
            if not isinstance(value, int) or isinstance(value, bool) or not setting.low <= value <= setting.high:
                limits = f"between {setting.low} and {setting.high}{f', or {AUTO}' * setting.auto}"
                raise ConfigError(f"{name} must be an integer {limits}, got {value!r}")
        if self.intervals != EVERY_TOKEN and (problem := conflict(*self.intervals)):
            name, limit, value = problem
            raise ConfigError(f"{name} {limit}, got {value}")
        AllowedHosts.of(self.allowed_media_domains)

    @property
    def intervals(self) -> tuple[int, int]:
        """What a request that gives neither interval has for stream_interval and stream_interval_ms."""
        if self.stream_interval_ms:
            return self.stream_interval, self.stream_interval_ms
        return self.stream_interval or 1, 0

    def check_modes(self, modes: Collection[str]) -> None:
        """Check that the default mode is one that the bundle's checkpoint has.

        Raises:
            ConfigError: it is not.
        """
        if self.default_mode not in modes:
            limit = f"must be {' or '.join(modes)}, the modes of this bundle's checkpoint"
            raise ConfigError(f"default_mode {limit}, got {self.default_mode.value!r}")

    @classmethod
    def load(
        cls, path: Path, environment: Mapping[str, str] = os.environ, others: Collection[str] = ()
    ) -> ServerConfig:
        """Read `path`, then let TRIMODE_* variables win.

        Args:
            others: further variables of that name which have a meaning: those of the command line.

        Raises:
            ConfigError: unreadable, an unknown key or variable, or a value of the wrong kind.
        """
        try:
            raw = yaml.safe_load(path.read_text(encoding="utf-8"))
            raw = {} if raw is None else raw
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as exc:
            raise ConfigError(f"{path} cannot be read: {exc}") from exc
        if not isinstance(raw, dict) or not all(isinstance(key, str) for key in raw):
            raise ConfigError(f"{path} must hold a mapping of keys to values")
        check_names(environment, others)
        for variable, key in ENVIRONMENT.items():
            if variable in environment:
                raw[key] = _value_of(key, environment[variable])
        return cls.from_mapping(raw)

    @classmethod
    def from_mapping(cls, raw: Mapping[str, Any]) -> ServerConfig:
        """Build from plain values, refusing unknown keys."""
        plain = cls()
        known = {f.name for f in fields(cls)}
        if unknown := sorted(set(raw) - known):
            raise ConfigError(f"unknown keys {unknown}; known are {sorted(known)}")
        return replace(plain, **{key: _like(getattr(plain, key), key, value) for key, value in raw.items()})


def settings() -> dict[str, Setting]:
    """Return the row of every key, in the order of the file."""
    return {one.name: one.metadata["setting"] for one in fields(ServerConfig)}


PREFIX = "TRIMODE_"
ENVIRONMENT = {f"{PREFIX}{key.upper()}": key for key in settings()}
"""The environment variables that win over model.yaml, and the key that each of them sets."""
OTHERS = (RULE_FILES, STATE, FORM_VARIABLE, LEVEL_VARIABLE, ENDPOINT_VARIABLE, "TRIMODE_URL", "TRIMODE_API_KEY")
"""Variables with our prefix that have a meaning elsewhere: the last two are the client's."""
TRUE, FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")
"""What a variable says for yes and for no, in letters of any case."""
SERVICE_LINK = re.compile(
    r"TRIMODE_(\w+_)?(SERVICE_HOST=.*|SERVICE_PORT\w*=\d+|PORT=\w+://.*|PORT_\d+_(TCP|UDP|SCTP)(_[A-Z]+)?=.*)",
    re.DOTALL,
)
"""What Kubernetes sets in every container for a service whose name begins with trimode: name and value."""


def check_names(environment: Mapping[str, str], others: Collection[str] = ()) -> None:
    """Refuse variables with our prefix that set nothing, in small letters too: they are misspelt.

    Args:
        others: have a meaning elsewhere.

    Raises:
        ConfigError: names the first of them, and the variable that it is like.
    """
    known = [*ENVIRONMENT, *OTHERS, *others]
    for name in sorted(environment):
        if (
            name.upper().startswith(PREFIX)
            and name not in known
            and not SERVICE_LINK.fullmatch(f"{name}={environment[name]}")
        ):
            near = get_close_matches(name.upper().removeprefix(PREFIX), [one.removeprefix(PREFIX) for one in known], 1)
            hint = f"did you mean {PREFIX}{near[0]}?" if near else f"known are {', '.join(ENVIRONMENT)}"
            raise ConfigError(f"the environment variable {name} sets nothing; {hint}")


def _value_of(key: str, text: str) -> object:
    """Return what a variable says: yes and no are words there, all else is checked as it is in the file."""
    if isinstance(getattr(ServerConfig, key), bool) and text.lower() in (*TRUE, *FALSE):
        return text.lower() in TRUE
    return text


def _like(default: object, key: str, value: object) -> Any:
    """Return `value` as the kind of `default`; environment variables are text, so digits count as an integer."""
    if (row := settings()[key]).auto and value == AUTO:
        return value
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
        case str():
            if isinstance(value, str):
                return value
    expected = "one of " + ", ".join(Mode) if isinstance(default, Mode) else type(default).__name__
    expected += f" or {AUTO}" * row.auto
    raise ConfigError(f"{key} must be {expected}, got {value!r}")
