"""Held-out prompts that several rooms of perf read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


@pytest.fixture
def heldout(tmp_path: Path) -> Path:
    path = tmp_path / "heldout.jsonl"
    asked = [
        {"domain": domain, "messages": [{"role": "user", "content": f"{domain} {number}"}], "answer": "a b"}
        for domain in ("sum", "list")
        for number in range(3)
    ]
    lines = [*asked, {"domain": "code", "prompt": "import"}]
    path.write_text("\n".join(json.dumps(line) for line in lines))
    return path
