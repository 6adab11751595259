"""What a prompt is, and which prompts are held out: by the wording that asks and by the subject that is asked about.

Knows no templates and no texts.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from random import Random

from ...data.sources import is_held_out

ONE_IN = 5
"""One wording in so many is held out, and one subject in so many."""
TRIES = 300
"""Drawings after which a kind has no more prompts: of those drawn, 1 in 25 has both wording and subject held out."""
FOLLOWED = 0.25
"""Share of the prompts of a kind with follow-ups that go on for a second turn."""


@dataclass(frozen=True)
class Asked:
    """One prompt. `wording` and `subject` decide whether it is held out; `follow_up` is what the user says next."""

    kind: str
    wording: str
    subject: str
    text: str
    follow_up: str | None = None

    @property
    def held_out(self) -> bool | None:
        """True where wording and subject are both held out, False where neither is; None: it is used for nothing."""
        marks = {is_held_out(f"{self.kind} {name}", ONE_IN) for name in (self.wording, self.subject)}
        return marks.pop() if len(marks) == 1 else None


@dataclass(frozen=True)
class Kind:
    """A kind of prompt. `fill` draws a subject and the values of the wordings' fields."""

    name: str
    wordings: tuple[str, ...]
    fill: Callable[[Random], tuple[str, Mapping[str, str]]]
    follow_ups: tuple[str, ...] = ()

    def make(self, rng: Random) -> Asked:
        """Draw a prompt; the same random state gives the same one."""
        wording, (subject, values) = rng.choice(self.wordings), self.fill(rng)
        goes_on = bool(self.follow_ups) and rng.random() < FOLLOWED
        follow_up = rng.choice(self.follow_ups) if goes_on else None
        return Asked(self.name, wording, subject, wording.format_map(values), follow_up)


def draw(kind: Kind, rng: Random, held_out: bool, known: Container[str] = ()) -> Asked | None:
    """Draw a prompt of the training share, or of the held-out share, that is not among the texts `known`.

    None if TRIES drawings give none: the kind has no more of them, or none at all.
    """
    drawn = (kind.make(rng) for _ in range(TRIES))
    return next((one for one in drawn if one.held_out is held_out and one.text not in known), None)


def listed(kinds: Mapping[str, Kind], count: int, seed: int, held_out: bool) -> list[Asked]:
    """Return at most `count` different prompts, the kinds in turn; the same seed gives the same ones."""
    rng, found, open_kinds = Random(f"{seed} asked {held_out}"), dict[str, Asked](), list(kinds.values())
    while open_kinds and len(found) < count:
        for kind in tuple(open_kinds):
            one = draw(kind, rng, held_out, found)
            if one is None:
                open_kinds.remove(kind)
            else:
                found[one.text] = one
    return list(found.values())[:count]
