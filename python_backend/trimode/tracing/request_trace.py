"""RequestTrace: when a request waited, read its prompt and decoded, as its passes happen. Needs no tracing library.

It only notes; spans.py makes spans of it once the request has ended.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

MOST_STAGES = 512
"""Of a sequence; what comes after them is one more. An exporter holds 2,048 spans, and several requests share it."""
PREFILL, DECODE, REST = "prefill", "decode", "rest"
FOLLOWS = ("commit",)
"""Passes that end what came before: a block's commit to the cache belongs to the block."""
Attributes = dict[str, str | int | float | bool | list[str]]


@dataclass(slots=True)
class Stage:
    """One stretch of a sequence: reading its prompt, a run of single tokens, or one cycle of drafts or a block.

    Attributes:
        kinds: how many passes of each kind it has, by their names in the order in which they came.
        began, ended: nanoseconds since 1970.
        tokens: that became final. drafted, accepted: of drafts that it verified.
        open: more passes belong to it.
    """

    kinds: dict[str, int]
    began: int
    ended: int
    tokens: int = 0
    drafted: int = 0
    accepted: int = 0
    open: bool = True

    @property
    def name(self) -> str:
        """The kinds of its passes, such as `draft, verify`."""
        return ", ".join(self.kinds)

    @property
    def attributes(self) -> Attributes:
        """What its span says."""
        made: Attributes = {"trimode.forwards": sum(self.kinds.values()), "trimode.tokens": self.tokens}
        made |= {f"trimode.forwards.{kind}": count for kind, count in self.kinds.items()}
        if self.drafted:
            made |= {"trimode.drafted_tokens": self.drafted, "trimode.accepted_tokens": self.accepted}
        return made


class SequenceTrace:
    """One sequence of a request, from the moment that it has a slot.

    Attributes:
        mode: how it decodes.
        queued, began: when it came into the queue, and when it got its slot, in nanoseconds since 1970.
        stages: of its passes, one after the other without a pause: what is between two passes belongs to the later.
    """

    def __init__(self, mode: str, queued: int | None = None) -> None:
        self.mode, self.began = mode, time.time_ns()
        self.queued = self.began if queued is None else queued
        self.stages: list[Stage] = []

    def passed(self, kind: str, tokens: int, drafted: int | None = None, accepted: int = 0) -> None:
        """Note a pass that was applied.

        Args:
            kind: what it was for, such as `denoise`.
            tokens: how many became final by it.
            drafted, accepted: what it verified of a draft, and how much of that it confirmed; None if it verified none.
        """
        stage = self._stage_of(kind)
        stage.kinds[kind] = stage.kinds.get(kind, 0) + 1
        stage.ended = time.time_ns()
        stage.tokens += tokens
        stage.drafted += drafted or 0
        stage.accepted += accepted
        stage.open = kind in (PREFILL, DECODE) or not (tokens or kind in FOLLOWS)

    def _stage_of(self, kind: str) -> Stage:
        last = self.stages[-1] if self.stages else None
        if last is not None:
            alone = bool({PREFILL, DECODE} & {kind, *last.kinds})
            if (last.open and (kind in last.kinds or not alone)) or kind in FOLLOWS or REST in last.kinds:
                return last
        began = self.began if last is None else last.ended
        made = Stage({}, began, began)
        if len(self.stages) == MOST_STAGES:
            made.kinds[REST] = 0
        self.stages.append(made)
        return made


@dataclass(eq=False)
class RequestTrace:
    """One request of the model.

    Attributes:
        parent: the traceparent of the front's span, "" without one.
        end: makes spans of it, with what they say and the type of the error that ended it, "" without one.
        arrived: when it came, in nanoseconds since 1970.
        sequences: those that it took: one, or for gaps one for each size that was tried.
    """

    parent: str
    end: Callable[[RequestTrace, Attributes, str], None]
    arrived: int = field(default_factory=time.time_ns)
    sequences: list[SequenceTrace] = field(default_factory=list)

    def begin(self, mode: str, made: int | None = None) -> SequenceTrace:
        """Return the trace of a sequence that has a slot from now on.

        Args:
            made: when it was made, in nanoseconds since 1970. It has been queued since then if others of the request
                had a slot before, and else since the request came.
        """
        later = made is not None and any(one.began < made for one in self.sequences)
        self.sequences.append(begun := SequenceTrace(mode, made if later else self.arrived))
        return begun
