"""What a TensorRT plan was compiled with and for, as the manifest states it, and whether it fits a device.

A plan runs only under the version that compiled it, and on the compute capabilities it was compiled for.
Knows nothing of files or of TensorRT itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any

FLAVOURS = ("tensorrt", "tensorrt_rtx")
Range = tuple[int, int, int]
QUADRATIC = "quadratic"
"""The profile of passes that verify a draft and make the next one; a plan of before it existed has none."""


@dataclass(frozen=True)
class Profile:
    """The shapes one optimisation profile was compiled for, each as (least, tuned for, most).

    Attributes:
        name: "step", "block", "prefill" or "quadratic"; a plan has them in the manifest's order.
        batch: rows of a call.
        seq: tokens of a row.
        rows: rows of logits asked for, of each row of the call.
        length: cached tokens that attention reads, the last axis of the mask.
    """

    name: str
    batch: Range
    seq: Range
    rows: Range
    length: Range

    @property
    def images(self) -> Range:
        """Rows of pictures of a call, where the model reads any: one that nobody looks at, or one for each token."""
        return 1, 1, self.batch[2] * self.seq[2]


@dataclass(frozen=True)
class Device:
    """A GPU, or a slice of one (MIG), as CUDA describes it.

    Attributes:
        name: such as "NVIDIA H100 80GB HBM3"; that of a slice ends with its profile, as " MIG 1g.10gb".
        multiprocessors: how many it has.
        memory: all its bytes.
    """

    name: str
    multiprocessors: int
    memory: int

    @classmethod
    def of(cls, properties: Any) -> Device:
        """Read CUDA's `cudaDeviceProp`; under MIG its figures are the slice's."""
        name = bytes(properties.name).partition(b"\0")[0].decode()
        return cls(name, int(properties.multiProcessorCount), int(properties.totalGlobalMem))

    @property
    def is_slice(self) -> bool:
        """Whether it is a slice of a GPU."""
        return "MIG" in self.name.split()

    def __str__(self) -> str:
        return f"{self.name} ({self.multiprocessors} multiprocessors, {self.memory / 1e9:.2f} GB)"


@dataclass(frozen=True)
class Compilation:
    """A plan's origin: TensorRT's flavour and version, the devices it is for, its profiles.

    Attributes:
        flavour: "tensorrt" (data-centre, compiled on the GPU that runs it) or "tensorrt_rtx".
        version: the exact version of that package; a plan does not load under another.
        compute_capabilities: such as "8.9", each a device generation the plan holds code for.
        device: the GPU on which its kernels were timed and chosen; None where none was, or where nobody noted it.
        patches: for each profile of the tower's own plan the patches of a pass; empty where there is no tower.
    """

    flavour: str
    version: str
    compute_capabilities: tuple[str, ...]
    profiles: tuple[Profile, ...]
    device: Device | None = None
    patches: tuple[Range, ...] = ()

    @classmethod
    def parse(cls, raw: object) -> Compilation:
        """Read the object in manifest.json.

        Raises:
            ValueError: a key is missing, unknown or of another kind; the text names it.
        """
        keys = _keys("compiled", raw, set(cls.__dataclass_fields__), optional={"device", "patches"})
        if keys["flavour"] not in FLAVOURS:
            raise ValueError(f"compiled.flavour: expected one of {list(FLAVOURS)}, found {keys['flavour']!r}")
        if not isinstance(keys["version"], str):
            raise ValueError(f"compiled.version: expected text, found {keys['version']!r}")
        found = keys["compute_capabilities"]
        if not isinstance(found, list) or not found or not all(isinstance(item, str) for item in found):
            raise ValueError(f"compiled.compute_capabilities: expected a list of texts, found {found!r}")
        if not isinstance(keys["profiles"], list) or not keys["profiles"]:
            raise ValueError(f"compiled.profiles: expected a list, found {keys['profiles']!r}")
        profiles = tuple(_profile(f"compiled.profiles[{at}]", entry) for at, entry in enumerate(keys["profiles"]))
        if not isinstance(of_tower := keys.get("patches", []), list):
            raise ValueError(f"compiled.patches: expected a list, found {of_tower!r}")
        patches = tuple(_range(f"compiled.patches[{at}]", entry) for at, entry in enumerate(of_tower))
        return cls(keys["flavour"], keys["version"], tuple(found), profiles, _device(keys.get("device")), patches)

    @property
    def quadratic_length(self) -> int:
        """The longest draft that one pass of quadratic speculation verifies: L (L + 1) tokens, L * L rows of logits."""
        fits = [min(math.isqrt(4 * one.seq[2] + 1) - 1, 2 * math.isqrt(one.rows[2])) // 2 for one in self.profiles]
        return max(fits)

    @property
    def rows(self) -> int:
        """The most rows that a call has of single tokens, and of blocks."""
        return min((one.batch[2] for one in self.profiles if one.name in ("step", "block")), default=1)

    @property
    def options(self) -> str:
        """The converter's options that make such a plan; without `--quadratic` where it has no profile for that."""
        others = [one for one in self.profiles if one.name != QUADRATIC]
        batch, chunk = max(one.batch[2] for one in others), max(one.seq[2] for one in others)
        drafts = (f" --quadratic {math.isqrt(one.rows[2])}" for one in self.profiles if one.name == QUADRATIC)
        return f"--flavour {self.flavour} --batch {batch} --chunk {chunk}{''.join(drafts)}"

    def misfit(self, flavour: str, version: str, compute_capability: str) -> str | None:
        """Return why the plan cannot run on a device (field, the plan's value, the device's), or None if it can."""
        if flavour != self.flavour:
            return f"flavour: the plan was compiled by {self.flavour}, this runtime is {flavour}"
        if version != self.version:
            return f"version: the plan was compiled by {self.flavour} {self.version}, this is {version}"
        if compute_capability not in self.compute_capabilities:
            known = ", ".join(self.compute_capabilities)
            return f"compute capability: the plan was compiled for {known}, this GPU has {compute_capability}"
        return None

    def other_device(self, here: Device) -> str | None:
        """Return how the GPU `here` differs from the one on which kernels were chosen; None if it does not."""
        built = self.device
        if built is None or (built.name, built.multiprocessors) == (here.name, here.multiprocessors):
            return None
        return f"its kernels were chosen on {built}, this is {here}"

    def too_small(self, here: Device) -> bool:
        """Whether `here` is a slice of a GPU with less than the GPU had on which kernels were chosen."""
        built = self.device
        if built is None or not here.is_slice or self.other_device(here) is None:
            return False
        return here.multiprocessors < built.multiprocessors or here.memory < built.memory


def _device(raw: object) -> Device | None:
    if raw is None:
        return None
    keys = _keys("compiled.device", raw, set(Device.__dataclass_fields__))
    if not isinstance(keys["name"], str):
        raise ValueError(f"compiled.device.name: expected text, found {keys['name']!r}")
    for name in ("multiprocessors", "memory"):
        if not isinstance(keys[name], int) or isinstance(keys[name], bool) or keys[name] < 1:
            raise ValueError(f"compiled.device.{name}: expected a positive integer, found {keys[name]!r}")
    return Device(**keys)


def _profile(where: str, raw: object) -> Profile:
    keys = _keys(where, raw, set(Profile.__dataclass_fields__))
    if not isinstance(keys["name"], str):
        raise ValueError(f"{where}.name: expected text, found {keys['name']!r}")
    ranges = {name: _range(f"{where}.{name}", keys[name]) for name in ("batch", "seq", "rows", "length")}
    return Profile(name=keys["name"], **ranges)


def _range(where: str, raw: object) -> Range:
    whole = isinstance(raw, list) and len(raw) == 3 and all(isinstance(n, int) and not isinstance(n, bool) for n in raw)
    if not isinstance(raw, list) or not whole or not 0 <= raw[0] <= raw[1] <= raw[2]:
        raise ValueError(f"{where}: expected [least, tuned for, most], found {raw!r}")
    return raw[0], raw[1], raw[2]


def _keys(where: str, raw: object, expected: set[str], optional: Set[str] = frozenset()) -> Mapping[str, Any]:
    if not isinstance(raw, dict) or set(raw) | optional != expected:
        found = sorted(raw) if isinstance(raw, dict) else raw
        raise ValueError(f"{where}: expected an object with {sorted(expected)}, found {found!r}")
    return raw
