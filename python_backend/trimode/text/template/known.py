"""Which chats are rendered without the process: short ones, by a chat template that this project has read.

A template is code of whoever made the checkpoint. One that is known goes over the messages once and joins what they
say, so that a short chat takes it microseconds; the way to the process and back takes half a millisecond. Any other
template is rendered there, whatever it looks like. Knows nothing of processes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

KNOWN = {
    "491987fb6b8d9ab44679b56a2fe4be373aef14887037815f79fa7e01fd88e3de": "nano",
    "b9e0ee140639410180389078888a02b803303d5af3ce09e8e83f080f902ec51d": "nano-vlm",
    "872be49dbb638044ad01b60388f48d469ff2980e5f0dccdc22ec907db54d0788": "SmolLM2-135M-Instruct",
}
"""The sha256 of their texts in UTF-8, and whose they are."""
MOST_MESSAGES = 8
"""Messages of a short chat."""
MOST_CHARACTERS = 2048
"""Characters of all that they say: some 500 tokens, beside whose passes the way to another process is nothing."""


def is_known(text: str, special: Mapping[str, str]) -> bool:
    """Whether a template is known, and the special tokens that it may write are short."""
    return sha256(text.encode()).hexdigest() in KNOWN and sum(map(len, special.values())) <= MOST_CHARACTERS


def is_short(messages: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a chat is a few short messages that say texts alone."""
    if len(messages) > MOST_MESSAGES:
        return False
    size = 0
    for message in messages:
        for name, value in message.items():
            if not isinstance(value, str):
                return False
            size += len(name) + len(value)
    return size <= MOST_CHARACTERS
