"""Whether a tokenizer.json is made of parts whose work is bounded by the length of a text.

A tokenizer.json is data of strangers that programs a library: replacements that double a text forty times, or an
expression that takes a text's length to the power of its own, would hold the server. What is not known to be harmless
encodes in a process of its own; see process.py. Knows nothing of processes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

HARMLESS = {
    "normalizer": {"NFC", "NFD", "NFKC", "NFKD", "Lowercase", "Strip", "StripAccents", "ByteLevel", "BertNormalizer"},
    "pre_tokenizer": {
        *("ByteLevel", "Digits", "Metaspace", "Whitespace", "WhitespaceSplit", "BertPreTokenizer", "Punctuation"),
        *("UnicodeScripts", "CharDelimiterSplit", "FixedLength"),
    },
    "decoder": {"ByteLevel", "ByteFallback", "Fuse", "Strip", "Metaspace", "WordPiece", "BPEDecoder"},
}
"""Parts by where they stand that take time in proportion to a text, and make it a few times longer at most."""
MOST_PARTS = 8
"""Parts of one place; released tokenizers have three."""
MOST_LONGER = 64
"""How many times longer all replacements of one place together may make a text."""
MOST_PATTERN = 1000
"""Characters of an expression; those of released tokenizers have at most 400."""
QUANTIFIERS = "*+{"


def unusual(tokenizer: Mapping[str, Any], place: str) -> str | None:
    """Return the part of a place that is not known to be harmless, None where all are.

    Args:
        tokenizer: the content of a tokenizer.json.
        place: "normalizer", "pre_tokenizer" or "decoder".
    """
    parts, longer = list(_parts(tokenizer.get(place))), 1
    if len(parts) > MOST_PARTS:
        return f"{len(parts)} parts"
    for part in parts:
        kind, pattern = str(part.get("type")), part.get("pattern")
        if kind in HARMLESS[place]:
            continue
        if kind in ("Replace", "Prepend") and isinstance(pattern, Mapping | None):
            added = str(part.get("content", part.get("prepend", "")))
            longer *= max(1, len(added.encode()))
            if longer <= MOST_LONGER and (pattern is None or set(pattern) == {"String"}):
                continue
        if kind == "Split" and isinstance(pattern, Mapping):
            expression = pattern.get("Regex")
            if expression is None or is_simple(str(expression)):
                continue
        return kind
    return None


def is_simple(expression: str) -> bool:
    """Whether no part of an expression that may repeat repeats as a whole, and nothing refers back to a group.

    Only such an expression can take a time that doubles with each character.
    """
    if len(expression) > MOST_PATTERN:
        return False
    repeats, in_class, at = [False], False, 0  # one entry for each group that is open
    while at < len(expression):
        char, follows = expression[at], expression[at + 1 : at + 2]
        if char == "\\":
            if not in_class and (follows.isdigit() or follows in ("k", "g")):
                return False
            at += 1
        elif in_class:
            in_class = char != "]"
        elif char == "[":
            in_class = True
        elif char == "(":
            repeats.append(False)
            if expression[at + 1 : at + 3] in ("?R", "?&", "?P"):
                return False
        elif char == ")":
            if len(repeats) == 1:
                return False
            inner = repeats.pop()
            if inner and follows and follows in QUANTIFIERS:
                return False
            repeats[-1] |= inner
        elif char in QUANTIFIERS:
            repeats[-1] = True
        at += 1
    return True


def _parts(part: Any) -> Iterator[Mapping[str, Any]]:
    """Yield a part, or those of a sequence."""
    if not isinstance(part, Mapping):
        return
    if part.get("type") != "Sequence":
        yield part
        return
    for name in ("normalizers", "pretokenizers", "decoders"):
        for one in part.get(name) or ():
            yield from _parts(one)
