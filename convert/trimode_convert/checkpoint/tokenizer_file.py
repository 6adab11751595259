"""tokenizer.json against the vocabulary of the model: which tokens have no row in the embedding.

Knows the places of ids in the file. Knows nothing of how text is cut into tokens.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterable
from pathlib import Path
from typing import Any

from trimode.bundle.manifest import CHAT_TEMPLATE, TOKENIZER
from trimode.errors import CheckpointError


def unused_tokens(path: Path, content: bytes, vocab_size: int) -> list[str]:
    """Return the added tokens beyond the model's vocabulary: no prompt may have them, and the server refuses them.

    Raises:
        CheckpointError: a token of the tokenizer's own model is beyond it, so the files do not belong together; or the
            file is not JSON.
    """
    try:
        tokenizer = json.loads(content)
        own = _own(tokenizer)
        added = [(str(one["content"]), int(one["id"])) for one in tokenizer.get("added_tokens") or ()]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as exc:
        raise CheckpointError(f"{path}: is not a tokenizer: {type(exc).__name__}: {exc}") from exc
    extra = {token for token, _ in added}
    if beyond := [(number, token) for token, number in own if number >= vocab_size and token not in extra]:
        number, token = min(beyond)
        first = f"{json.dumps(token)[:60]}, token {number}"
        limit = f"expected tokens below {vocab_size} (vocab_size of config.json)"
        raise CheckpointError(f"{path}: {limit}, found {len(beyond)} beyond, first {first}")
    return [token for token, number in added if number >= vocab_size]


def text_remarks(folder: Path, files: Container[str], vocab_size: int) -> list[str]:
    """Return what a server of a bundle with these `files` cannot do for want of a tokenizer, a template or tokens."""
    if TOKENIZER not in files:
        return [f"no {TOKENIZER}: the server takes input_ids only"]
    unused = unused_tokens(folder / TOKENIZER, (folder / TOKENIZER).read_bytes(), vocab_size)
    few = ", ".join(json.dumps(token)[:40] for token in unused[:3])
    found = [f"{len(unused)} tokens are beyond the model's vocabulary and refused in prompts: {few}"] if unused else []
    return found if CHAT_TEMPLATE in files else [*found, "no chat template: the server refuses messages"]


def _own(tokenizer: Any) -> Iterable[tuple[str, int]]:
    """Return token and id of each entry of the model's vocabulary, an object, or for Unigram a list of pairs."""
    vocabulary = tokenizer["model"]["vocab"]
    if isinstance(vocabulary, list):
        return [(str(entry[0]), number) for number, entry in enumerate(vocabulary)]
    return [(token, int(number)) for token, number in vocabulary.items()]
