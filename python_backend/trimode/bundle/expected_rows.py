"""expected.json: a few passes and what they must answer, by which an engine is checked where it opens.

Whoever builds a bundle computes them once, in float32, on a processor. Of each row some logits alone are kept, and of
pictures some numbers of their rows. Knows nothing of how they are computed or compared.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import BundleError
from .manifest import EXPECTED, Manifest, rebuild_hint


@dataclass(frozen=True)
class ExpectedPass:
    """One pass over a sequence, and some logits of some of its tokens.

    Attributes:
        tokens: (S,) ids. start: position of the first; it sees the entries before that and no later one.
        causal: each new token sees itself and those before it; else all see all.
        keep: the entries stay for the passes that follow.
        want: (R,) which of the new tokens have logits here.
        ids, logits: (R, K) the vocabulary's ids, and the logit of each.
    """

    name: str
    tokens: tuple[int, ...]
    start: int
    causal: bool
    keep: bool
    adapter: bool
    want: tuple[int, ...]
    ids: tuple[tuple[int, ...], ...]
    logits: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class ExpectedPicture:
    """A picture of noise, and some numbers of the rows that stand for it.

    Attributes:
        across, down: its cells. seed: of its noise, see `noise`.
        cells: (R,) which of its rows. channels: (K,) which numbers of a row. values: (R, K) these.
    """

    across: int
    down: int
    seed: int
    cells: tuple[int, ...]
    channels: tuple[int, ...]
    values: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class ExpectedRows:
    """Passes of one sequence, in order, pictures that are encoded together, and how far an engine may be from them.

    `tolerance` is the largest relative RMS of a pass's logits, or of a picture's numbers: of their differences, over
    that of those expected.
    """

    tolerance: float
    passes: tuple[ExpectedPass, ...]
    pictures: tuple[ExpectedPicture, ...] = ()

    def to_json(self) -> bytes:
        """Return the file's bytes, a line a pass and a picture."""
        passes, pictures = (
            ",\n".join(json.dumps(dataclasses.asdict(one), separators=(",", ":")) for one in every)
            for every in (self.passes, self.pictures)
        )
        more = f',"pictures":[\n{pictures}\n]' if pictures else ""
        return f'{{"tolerance":{self.tolerance},"passes":[\n{passes}\n]{more}}}\n'.encode()

    @classmethod
    def load(cls, bundle: Path, manifest: Manifest) -> ExpectedRows | None:
        """Read those of a bundle; None if it has none.

        Raises:
            BundleError: the file cannot be read, or does not fit the manifest.
        """
        if EXPECTED not in manifest.files:
            return None
        path = bundle / EXPECTED
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
            pictures = tuple(_picture(one) for one in raw.get("pictures", []))
            found = cls(float(raw["tolerance"]), tuple(_pass(one) for one in raw["passes"]), pictures)
            sound = all(_fits(one, manifest) for one in found.passes)
            sound = sound and all(_is_seen(one, manifest) for one in pictures)
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            sound = False
        if not sound:
            raise BundleError(f"{path} is damaged, or of another bundle. {rebuild_hint(bundle, manifest)}")
        return found


def _pass(raw: dict[str, Any]) -> ExpectedPass:
    rows = {name: tuple(tuple(row) for row in raw[name]) for name in ("ids", "logits")}
    return ExpectedPass(**{**raw, **rows, "tokens": tuple(raw["tokens"]), "want": tuple(raw["want"])})


def _fits(one: ExpectedPass, manifest: Manifest) -> bool:
    ids = [*one.tokens, *(token for row in one.ids for token in row)]
    shaped = len(one.want) == len(one.ids) == len(one.logits) > 0
    shaped = shaped and len({len(row) for row in (*one.ids, *one.logits)}) == 1 and len(one.ids[0]) > 0
    inside = max(one.want) < len(one.tokens) and one.start + len(one.tokens) <= manifest.capacity
    return shaped and inside and min(ids) >= 0 and max(ids) < manifest.vocab_size


def noise(seed: int, count: int) -> list[float]:
    """Return numbers from -2 to 2 in an order without order, the same on every machine."""
    found, state = [], seed
    for _ in range(count):
        state = (state * 1103515245 + 12345) % 2**31
        found.append((state >> 11) / 2**18 - 2.0)
    return found


def _picture(raw: dict[str, Any]) -> ExpectedPicture:
    lists = {name: tuple(raw[name]) for name in ("cells", "channels")}
    return ExpectedPicture(**{**raw, **lists, "values": tuple(tuple(row) for row in raw["values"])})


def _is_seen(one: ExpectedPicture, manifest: Manifest) -> bool:
    if manifest.vision is None:
        return False
    side = manifest.vision.side // manifest.vision.merge
    shaped = len(one.cells) == len(one.values) > 0 and {len(row) for row in one.values} == {len(one.channels)} != {0}
    inside = 0 < one.across <= side and 0 < one.down <= side
    inside = inside and min(one.cells) >= 0 and max(one.cells) < one.across * one.down
    return shaped and inside and min(one.channels) >= 0 and max(one.channels) < manifest.hidden_size
