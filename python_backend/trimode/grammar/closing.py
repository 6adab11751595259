"""How a text that has begun can be ended soon: a short run of tokens after which it matches its grammar.

The shortest run is not looked for: that would mean to walk through all texts. Tokens that end something are tried
first. Where that leads too far, each step looks whether some token ends the text at once, and then some choices are
made otherwise. Where all of them go in circles, as in expressions that repeat, choices are made by chance, the same
ones each time. So a run that is found is right, and short for what people ask for. Knows nothing of requests.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import NamedTuple

import numpy as np
from llguidance import LLMatcher

from .lexicon import Bools, Ints, Lexicon

NEAR = 96
"""Tokens of a run that is looked for with care; a longer one is looked for once and without."""
DEVIATIONS = 8
"""Walks of a thorough search in which one choice is made otherwise."""
CHANCES = 64
"""Walks by chance."""
DENSE = 0.3
"""Share of the ids from which on nearly anything may come next, as inside of a string."""


Ids = tuple[int, ...]
Ends = Callable[[LLMatcher], bool]
"""Whether a text may end where the library's matcher stands, and leaves it there."""


def accepts(at: LLMatcher) -> bool:
    """Whether the text matches as it is."""
    return bool(at.is_accepting())


class _Walk(NamedTuple):
    """How to choose: `careful` looks for a token that ends the text; choice `place` takes candidate 1, not 0.

    With `chance` each choice is by chance.
    """

    limit: int
    ends: Ends
    careful: bool = False
    place: int = -1
    chance: Random | None = None


def close(
    at: LLMatcher,
    lexicon: Lexicon,
    limit: int,
    *,
    thorough: bool = False,
    by_chance: bool = False,
    ends: Ends = accepts,
) -> list[int] | None:
    """Return at most `limit` tokens after which the text may end; None if none were found. `at` stays where it is.

    Args:
        ends: whether it may end there.
        thorough: take the shortest run of several, which takes ten times as long.
        by_chance: also try CHANCES walks by chance where no other ends. They may take seconds of processor time, so
            this is for a process that has limits.
    """
    near = min(limit, NEAR)
    walks = [_Walk(near, ends), _Walk(near, ends, careful=True)]
    if thorough:
        walks += [_Walk(near, ends, careful=True, place=place) for place in range(DEVIATIONS)]
    walks += [_Walk(limit, ends)] if limit > near else []
    best: list[int] | None = None
    for walk in walks:
        if best is not None and walk.limit > near:
            break
        found = _take(walk, at, lexicon)
        if found is not None and (best is None or len(found) < len(best)):
            best = found
        if best is not None and not thorough:
            break
    for number in range(CHANCES if by_chance and best is None else 0):
        best = _take(_Walk(near if best is None else len(best) - 1, ends, chance=Random(number)), at, lexicon) or best
    return best


def close_after(
    token: int, at: LLMatcher, lexicon: Lexicon, limit: int, hint: Ids, *, ends: Ends = accepts
) -> Ids | None:
    """Return the same for the place after `token`, which is allowed.

    Args:
        hint: tokens that ended the text a little earlier. The last of them may still do so: to try takes no time.
    """
    if at.try_consume_tokens([token]) == 0:
        return None
    try:
        if ends(at):
            return ()
        for first in range(max(0, len(hint) - limit), len(hint)):
            rest = list(hint[first:])
            if at.validate_tokens(rest) < len(rest):
                continue
            at.try_consume_tokens(rest)
            ended = ends(at)
            at.rollback(len(rest))
            if ended:
                return tuple(rest)
        found = close(at, lexicon, limit, ends=ends)
        return None if found is None else tuple(found)
    finally:
        at.rollback(1)


def _take(walk: _Walk, at: LLMatcher, lexicon: Lexicon) -> list[int] | None:
    """Take tokens until the text may end; None if it may not within the limit."""
    taken, choices = list[int](), 0
    try:
        while not walk.ends(at):
            step = at.compute_ff_tokens()
            if step and walk.ends is not accepts:
                step = _ends_within(at, lexicon, walk.ends) or step
            if not step:
                step = _choose(walk, choices, at, lexicon)
                choices += 1
            if not step or len(taken) + len(step) > walk.limit:
                return None
            done = at.try_consume_tokens(step)
            taken += step[:done]
            if done < len(step):
                return None
        return taken
    finally:
        if taken:
            at.rollback(len(taken))


def _ends_within(at: LLMatcher, lexicon: Lexicon, ends: Ends) -> list[int] | None:
    """Return ids of a beginning of what must come next after which the text may end, such as a part of a word."""
    dictated = bytes(at.compute_ff_bytes())
    for size in range(1, len(dictated)):
        tokens = lexicon.spell(dictated[:size])
        done = at.try_consume_tokens(tokens)
        ended = done == len(tokens) and ends(at)
        at.rollback(done)
        if ended:
            return tokens
    return None


def _choose(walk: _Walk, choices: int, at: LLMatcher, lexicon: Lexicon) -> list[int]:
    mask = lexicon.unpack(at.compute_bitmask())
    allowed = np.flatnonzero(mask)
    if not len(allowed):
        return []
    if walk.chance is not None:
        return [int(walk.chance.choice(_heads(mask, lexicon)))]
    ranks = (lexicon.ranks_in_text if len(allowed) > DENSE * lexicon.size else lexicon.ranks)[allowed]
    best = int(allowed[ranks.argmin()])
    if walk.careful:
        heads = _heads(mask, lexicon)
        for token in heads:
            rest = _rest(at, int(token), lexicon, walk.ends)
            if rest is not None:
                return [int(token), *rest]
        if choices == walk.place:
            return _other(best, heads, lexicon)
    return [best]


def _other(best: int, heads: Ints, lexicon: Lexicon) -> list[int]:
    """Return a token of another kind than `best`, such as a comma for a digit, or one that begins otherwise."""
    begins_otherwise = lexicon.first_byte[heads] != lexicon.first_byte[best]
    others = heads[begins_otherwise & (lexicon.ranks[heads] > lexicon.ranks[best] + 0.5)]
    if not len(others):
        others = heads[begins_otherwise]
    return [int(others[lexicon.ranks[others].argmin()])] if len(others) else []


def _heads(mask: Bools, lexicon: Lexicon) -> Ints:
    """Return the shortest token that is allowed for each first byte."""
    tokens = lexicon.short_first[mask[lexicon.short_first]]
    first = lexicon.first_byte[tokens]
    heads: Ints = tokens[np.concatenate(([True], first[1:] != first[:-1]))]
    return heads


def _rest(at: LLMatcher, token: int, lexicon: Lexicon, ends: Ends) -> list[int] | None:
    """Return what ends the text after `token`, which is allowed: nothing, or a part of what is dictated then."""
    if at.try_consume_tokens([token]) == 0:
        return None
    try:
        if ends(at):
            return []
        return None if ends is accepts else _ends_within(at, lexicon, ends)
    finally:
        at.rollback(1)
