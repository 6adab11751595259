"""Structural tags: words in which JSON stands between given texts, as the text of a grammar. Knows nothing of tokens.

The form is that of vLLM and SGLang: `{"structures": [{"begin", "schema", "end"}], "triggers": [...]}`. An answer is
free until it holds a trigger, which one of the structures begins with; what then follows is the rest of `begin`, a
value of `schema`, and `end`. After that the answer is free again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import permutations
from typing import Any

from ..refusal import bad_grammar
from .limits import write_limits
from .schema_check import check_schema

MOST_STRUCTURES = 128
"""As many as a request may have tools."""
MOST_TRIGGERS = MOST_STRUCTURES
"""Each is one with which a structure begins, so more of them differ in nothing that a structure can tell."""
WORDS = r"WORDS: /(.|\n)*/"
"""The rule of what is free, in the notation of Lark."""
_KEYS = ("begin", "schema", "end")


def structural_tag(said: object, layout: Mapping[str, Any]) -> str:
    """Return the grammar, in the notation of Lark.

    Args:
        said: what the JSON of a structural tag says.
        layout: how JSON is laid out, in the grammar library's words.

    Raises:
        RequestError: it is none, or a schema cannot be enforced.
    """
    structures, triggers = _parts(said)
    lines, tags = ["words: WORDS", WORDS], list[str]()
    for at, trigger in enumerate(triggers):
        own = [one for one in structures if _trigger(one["begin"], triggers) == trigger]
        if not own:
            raise bad_grammar("must hold only triggers with which the begin of a structure begins", repr(trigger)[:80])
        inside = []
        for one in own:
            number = len(lines)
            lines.append(f"value_{number}: %json {json.dumps({**one['schema'], 'x-guidance': dict(layout)})}")
            inside.append(f"{_literal(one['begin'].removeprefix(trigger))} value_{number} {_literal(one['end'])}")
        lines += [f"trigger_{at}[lazy]: WORDS {_literal(trigger)}", f"tag_{at}: trigger_{at} ({' | '.join(inside)})"]
        tags.append(f"tag_{at}")
    return "\n".join([f"start: ({' | '.join(tags)})* words", *lines]) + "\n"


def _parts(said: object) -> tuple[list[dict[str, Any]], list[str]]:
    if not isinstance(said, dict):
        raise bad_grammar("must be an object with the keys structures and triggers", repr(said)[:80])
    for name in said:
        if name not in ("type", "structures", "triggers"):
            raise bad_grammar("must have no key but type, structures and triggers", name[:80])
    if said.get("type", "structural_tag") != "structural_tag":
        raise bad_grammar("must have structural_tag as type, if any", repr(said["type"])[:80])
    structures, triggers = said.get("structures"), said.get("triggers")
    if not isinstance(structures, list) or not 1 <= len(structures) <= MOST_STRUCTURES:
        raise bad_grammar(f"must hold 1 to {MOST_STRUCTURES} structures in a list", repr(structures)[:80])
    if not isinstance(triggers, list) or not triggers or not all(isinstance(one, str) and one for one in triggers):
        raise bad_grammar("must hold a list of triggers, texts that are not empty", repr(triggers)[:80])
    if len(triggers) > MOST_TRIGGERS:
        raise bad_grammar(f"must hold at most {MOST_TRIGGERS} triggers", f"{len(triggers)} triggers")
    for trigger, other in permutations(dict.fromkeys(triggers), 2):
        if other in trigger:  # the shorter one would always come first
            raise bad_grammar("must hold no trigger that contains another", f"{trigger!r} and {other!r}"[:80])
    for at, one in enumerate(structures):
        place = f"structures[{at}]"
        if not isinstance(one, dict) or set(one) != set(_KEYS):
            raise bad_grammar(f"must hold an object with the keys {', '.join(_KEYS)} as {place}", repr(one)[:80])
        if not isinstance(one["begin"], str) or not isinstance(one["end"], str):
            raise bad_grammar(f"must hold texts as begin and end of {place}", repr(one)[:80])
        if not isinstance(one["schema"], dict):
            raise bad_grammar(f"must hold a JSON schema, an object, as schema of {place}", repr(one["schema"])[:80])
        check_schema(one["schema"])
        write_limits(one["schema"])
        if _trigger(one["begin"], triggers) is None:
            raise bad_grammar(f"must hold a trigger with which begin of {place} begins", repr(one["begin"])[:80])
    return structures, list(dict.fromkeys(triggers))


def _trigger(begin: str, triggers: list[str]) -> str | None:
    """Return the first trigger with which a structure begins."""
    return next((one for one in triggers if begin.startswith(one)), None)


def _literal(text: str) -> str:
    """Return a text as a part of a rule."""
    return json.dumps(text)
