"""The form that tools give an answer, and that what was asked stays as it was."""

from __future__ import annotations

from typing import Any

import pytest
from trimode.server.openai.shared.asked import ask
from trimode.server.openai.shared.fields import sort_fields
from trimode.server.openai.shared.form import COMPACT, GUIDE, TYPE
from trimode.server.openai.tools.choices import of_chat
from trimode.server.openai.tools.form import with_tools

from tests.support.openai_facts import facts

TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
BODY: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi"}], "tools": [TOOL]}


@pytest.mark.parametrize("choice", ["auto", "required"])
def test_what_was_asked_stays_as_it_was(choice: str) -> None:
    body = {**BODY, "tool_choice": choice, "structured_outputs": {COMPACT: True}}
    given, known = sort_fields("chat", body), facts()
    asked = ask(given, known)
    before = [dict(job) for job in asked.jobs]
    found = with_tools(asked, of_chat(given, known.calls), known)
    assert [dict(job) for job in asked.jobs] == before
    assert TYPE not in asked.jobs[0] and GUIDE in found.jobs[0]
