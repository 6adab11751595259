"""The section of a fuzz in perf/RELIABILITY.md, and what must hold of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from ..common.claims import Claim

Found = Mapping[str, Any]


def claims(found: Found) -> list[Claim]:
    """Return what must hold."""
    canaries, wrong, more = found["canaries"], found["wrong_canaries"], found["faults_not_shown"]
    unseen = f" ({more} of them are counted in the record and not quoted)" if more else ""
    return [
        Claim(
            f"{faults(found)} requests crashed, hung or got an error of the server's{unseen}, none may",
            not faults(found),
        ),
        Claim(f"{wrong} of {canaries} canaries got another answer, none may", wrong == 0 and canaries > 0),
        Claim(f"the backend was replaced {found['restarts']} times, it may not be", found["restarts"] == 0),
    ]


def faults(found: Found) -> int:
    """Return how many requests were at fault, those included that the record does not quote."""
    return len(found["faults"]) + int(found["faults_not_shown"])


def section(found: Found) -> str:
    """Return the section."""
    asked = sum(sum(words.values()) for words in found["outcomes"].values())
    rows = "\n".join(
        f"| {face} | {sum(words.values()):,} | {_words(words)} |" for face, words in sorted(found["outcomes"].items())
    )
    right, cores = found["canaries"] - found["wrong_canaries"], found["machine"]["cores"]
    return f"""
## Under requests by chance

`{found["command"]}`, at commit {found["commit"]}, on {found["measured_at"]}, {cores} cores, seed {found["seed"]}:
{asked:,} requests that nobody wrote, with fields of the table and values that fit, are at an edge or are of another
kind, one in six with damaged bytes. {faults(found)} crashed, hung for a minute, lost their answer, or got an
error that is the server's own; 503 and 504 count as answers. After every {found["canary_every"]:,} requests one with a
known answer was sent: {right:,} of {found["canaries"]:,} got it. The backend was replaced {found["restarts"]} times.

| face | requests | outcomes |
| --- | --- | --- |
{rows}
{_quoted(found)}"""


def _quoted(found: Found) -> str:
    """Return what was at fault, each that came several times once, with a note that a person added to the record."""
    if not faults(found):
        return ""
    shown = "".join(f"{count} times: {fault}\n" for fault, count in Counter[str](found["faults"]).most_common())
    more = f"{found['faults_not_shown']} more, which the record does not quote\n" if found["faults_not_shown"] else ""
    return f"\nAt fault were:\n\n```text\n{shown}{more}```\n{found.get('note', '')}"


def _words(words: Mapping[str, int]) -> str:
    shown = sorted(words.items(), key=lambda one: (-one[1], one[0]))
    return ", ".join(f"{word} {count:,}" for word, count in shown)
