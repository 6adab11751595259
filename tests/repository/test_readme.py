"""The README says what the code does: its knob table is the table of fields, its commands exist."""

from __future__ import annotations

import re
from pathlib import Path

from trimode.api.fields import FIELDS, INT32_MAX, Field

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def limits(field: Field) -> str:
    if field.low is None or field.name == "input_ids":
        return ""
    bounded = field.high is not None and field.high < INT32_MAX
    return f"{field.low:g} to {field.high:g}" if bounded else f"{field.low:g} or more"


def knob_table() -> str:
    rows = [f"| `{f.name}` | {f.kind} | {limits(f)} | {f.default} | {f.help} |" for f in FIELDS]
    return "\n".join(["| field | type | range | default | meaning |", "| --- | --- | --- | --- | --- |", *rows])


def test_the_knob_table_is_the_table_of_fields() -> None:
    assert knob_table() in README, "put this into the README:\n" + knob_table()


def test_every_make_target_that_the_readme_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = set(re.findall(r"make ([a-z][a-z-]*)", README))
    assert named <= targets


def test_every_file_that_the_readme_links_exists() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert [link for link in links if not (ROOT / link).exists()] == []
