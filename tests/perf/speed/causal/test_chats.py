"""Conversations held twice, on toy engines."""

from __future__ import annotations

from typing import Any

import pytest
from trimode.runtime import Runtime
from trimode_perf.speed.causal import chats


def test_every_turn_is_asked_with_the_cache_and_without(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chats, "TURNS", ("{}?", "Why?", "Bye."))  # the toy engine holds 256 tokens
    monkeypatch.setattr(chats, "TOKENS", 8)
    shares: list[float] = []
    found = chats.hold({True: runtime, False: runtime}, shares.append)
    assert [row["turn"] for row in found["rows"]] == list(range(1, len(chats.TURNS) + 1))
    assert (found["conversations"], found["same_ids"], shares[-1]) == (len(chats.TOPICS), True, 1.0)
    prompts = [row["prompt"] for row in found["rows"]]
    assert prompts == sorted(prompts)  # a turn's prompt has the turns before it
    assert "| 3 |" in chats.section({"chats": found})


def test_another_answer_with_the_cache_is_a_claim_that_fails() -> None:
    found: dict[str, Any] = {"chats": {"same_ids": False, "hit_rate": 0.75}}
    assert [claim.holds for claim in chats.claims(found)] == [False, True]
