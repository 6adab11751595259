"""Holds an answer to the form of calls, where it is to be made of them or begins one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ....api.guide import MAX_GUIDE_CHARACTERS
from ....errors import Described
from ..shared.asked import Asked
from ..shared.errors import refused
from ..shared.facts import Facts
from ..shared.form import COMPACT, GUIDE, TYPE
from .wanted import Tools


def with_tools(asked: Asked, tools: Tools | None, facts: Facts) -> Asked:
    """Return `asked` with what may be called; an answer that is made of calls, or begins one, has their form.

    Raises:
        FaceError: the answer is to have another form, or to go on.
    """
    (given,) = asked.jobs
    job = dict(given)
    if tools is None or (tools.choice == "auto" and TYPE in job):
        return asked
    if TYPE in job:
        limit = f"must not be given together with {asked.names.get(TYPE, TYPE)}, but for auto and none"
        raise refused("tool_choice", limit, Described("both"), "given_twice")
    if tools.choice == "auto" or tools.form.of_template:
        special = {} if facts.tokenizer is None else facts.tokenizer.special_tokens
        grammar = tools.grammar(special, compact=bool(job.pop(COMPACT, False)))
        form: dict[str, Any] = {TYPE: "ebnf_grammar", GUIDE: grammar}
        if tools.choice == "auto" and tools.form.opening in special:  # it tells words from calls
            asked, form["skip_special_tokens"] = replace(asked, marked=True), False
    else:
        form = {TYPE: "json_schema", GUIDE: tools.schema()}
    if (size := len(form[GUIDE])) > MAX_GUIDE_CHARACTERS:
        limit = f"must make a grammar of at most {MAX_GUIDE_CHARACTERS} characters"
        raise refused("tools", limit, Described(f"one of {size} characters"))
    names = {**asked.names, **dict.fromkeys((TYPE, GUIDE), "tools")}
    return replace(asked, jobs=({**job, **form},), tools=tools, names=names)
