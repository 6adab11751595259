"""A checkpoint that reads pictures and texts: one of the kit, with a tokenizer of characters and a template."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import tokenizers
from tokenizers import decoders, models, pre_tokenizers

KIT = Path(__file__).parents[1] / "fixtures" / "parity-vlm"
MARKERS = {18: "<|image_start|>", 19: "<|image_pad|>", 20: "<|image_break|>", 21: "<|image_end|>"}
SPECIAL = {11: "<eos>", 100: "<mask>", **MARKERS}
ALPHABET = [*(chr(code) for code in range(33, 127)), "Ġ", "Ċ"]
"""ASCII as byte-level tokenizers write it: a token each."""
VOCAB = 129
TEMPLATE = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<answer>"


def write_tokenizer(path: Path) -> None:
    """Write a tokenizer.json in which the family's ids of pictures have their names."""
    left = iter([*ALPHABET, *(f"<{number}>" for number in range(VOCAB))])
    vocab = {SPECIAL.get(number) or next(left): number for number in range(VOCAB)}
    backend = tokenizers.Tokenizer(models.BPE(vocab=vocab, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(list(SPECIAL.values()))
    backend.save(str(path))


def write(folder: Path, name: str = "plain") -> Path:
    """Write the checkpoint `name` of the kit, with texts, into `folder`; return it."""
    shutil.copytree(KIT / "checkpoints" / name, folder, copy_function=shutil.copyfile)
    write_tokenizer(folder / "tokenizer.json")
    (folder / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<eos>"}), encoding="utf-8")
    return folder


def picture(name: str) -> bytes:
    """Return the file of a picture of the kit."""
    return (KIT / "images" / f"{name}.png").read_bytes()
