"""Toy tokenizers: bytes with a chat template, and bytes of which some pairs are one token."""

from __future__ import annotations

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, processors
from trimode.text.tokenizer import Tokenizer

from tests.support.toy import BYTES, SPECIAL, byte_tokenizer

TOKENIZER = byte_tokenizer("{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}")


def merging_tokenizer(*merges: tuple[str, str]) -> Tokenizer:
    """Bytes, and pairs of them that become one token; its offsets leave spaces out unless a caller asks for them."""
    vocab = {token: at for at, token in enumerate([*SPECIAL, *BYTES, *("".join(pair) for pair in merges)])}
    backend = tokenizers.Tokenizer(models.BPE(vocab=vocab, merges=list(merges)))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.ByteLevel(trim_offsets=True)
    return Tokenizer(backend, None, {})


MERGING = merging_tokenizer(("a", "b"), ("Ġ", "c"), ("Ã", "©"), ("c", "Ã"))
WORDS = merging_tokenizer(("Ġ", "f"), ("Ġf", "o"), ("Ġfo", "x"), ("a", "b"), ("Ġ", "Ġ"))
