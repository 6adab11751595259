"""What a peer is: another way to run the same checkpoint, loaded in a process of its own, asked one prompt at a time.

Knows no peer's library; the modules named in PEERS do, and only a worker imports them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

PEERS = {
    "torch": "eager",
    "transformers": "transformers_generate",
    "openvino": "openvino",
}
"""Peers by name, and the module of this package whose `load(checkpoint, threads)` gives each."""


@dataclass(frozen=True)
class Answer:
    """The tokens generated, the end token included, and the passes after the prefill.

    `products`, where a peer has it, does again the matrix products of weights that the answer took, and nothing else: a
    peer's time over theirs is the most that doing everything else for nothing could gain.
    """

    ids: list[int]
    forwards: int
    products: Callable[[], None] | None = None


Decode = Callable[[list[int], int, int], Answer]
"""(prompt, max_tokens, eos) -> answer; greedy, batch 1."""


@dataclass(frozen=True)
class Peer:
    """A loaded peer: what it is in words and versions, and the modes that it has."""

    about: str
    modes: Mapping[str, Decode]
