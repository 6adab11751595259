"""The training text: an endless, seeded mixture of chats made by the tasks and of Python's own standard library.

The same random state gives the same document. Held-out prompts and files are known by a hash of their text or name.
"""

from __future__ import annotations

import hashlib
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
from tokenizers import Tokenizer

from trimode_train.chat import Message, render
from trimode_train.config import EOS_ID
from trimode_train.packing import Document
from trimode_train.tasks import TASKS, Example

_SKIPPED = {
    "test",
    "tests",
    "site-packages",
    "idlelib",
    "lib2to3",
    "turtledemo",
    "pydoc_data",
    "encodings",
    "ensurepip",
}
_SYSTEM = (
    "You are a helpful assistant.",
    "You are a careful assistant. Answer exactly.",
    "Answer the user's question.",
    "You are a friendly and precise assistant.",
)


def is_held_out(text: str, one_in: int) -> bool:
    """Whether a prompt or file name belongs to the held-out share, decided by its hash alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") % one_in == 0


HELD_OUT_PROMPTS = 25  # one in so many
HELD_OUT_FILES = 20


def draw(rng: Random, held_out: bool = False, domain: str | None = None) -> Example:
    """One example of the training share, or of the held-out share."""
    while True:
        task = TASKS[domain] if domain else rng.choices(list(TASKS.values()), [t.weight for t in TASKS.values()])[0]
        example = task.make(rng)
        if is_held_out(example.prompt, HELD_OUT_PROMPTS) == held_out:
            return example


def library_files(held_out: bool = False) -> list[Path]:
    """The standard library's Python files, without tests and tables; a share of them is held out by name."""
    root = Path(sysconfig.get_paths()["stdlib"])
    files = [f for f in sorted(root.rglob("*.py")) if not _SKIPPED & set(f.relative_to(root).parts)]
    return [f for f in files if is_held_out(f.relative_to(root).as_posix(), HELD_OUT_FILES) == held_out]


@dataclass(frozen=True)
class Code:
    """The library's training files as one array of ids, and where lines start in it."""

    ids: np.ndarray  # (tokens,) uint16
    lines: np.ndarray  # (lines,) int64
    ends: np.ndarray  # (lines,) int64, the end of the line's file

    @classmethod
    def load(cls, tokenizer: Tokenizer, max_bytes: int) -> Code:
        """Encode files up to max_bytes, in an order that does not depend on folders."""
        texts, size = [], 0
        for file in sorted(library_files(), key=lambda f: hashlib.sha256(f.name.encode()).digest()):
            text = file.read_text(encoding="utf-8", errors="replace")
            if size + len(text) <= max_bytes:
                texts.append(text)
                size += len(text)
        ids, lines, ends, total = [], [], [], 0
        newline = {i for i in range(tokenizer.get_vocab_size()) if tokenizer.decode([i]).endswith("\n")}
        for encoding in tokenizer.encode_batch_fast(texts):
            file_ids = np.array(encoding.ids, dtype=np.uint16)
            starts = np.flatnonzero(np.isin(file_ids, list(newline))) + 1
            ids.append(file_ids)
            lines.append(total + np.concatenate([[0], starts[starts < len(file_ids)]]))
            total += len(file_ids)
            ends.append(np.full(len(lines[-1]), total))
        return cls(np.concatenate(ids), np.concatenate(lines).astype(np.int64), np.concatenate(ends))

    def document(self, rng: Random, length: int = 144) -> Document:
        """A stretch of one file that starts at a line; the first part of it is the prompt."""
        while True:
            line = rng.randrange(len(self.lines))
            start, end = int(self.lines[line]), int(self.ends[line])
            ids = self.ids[start : min(start + length, end)].tolist()
            if len(ids) >= 64:
                return Document(ids, start=rng.randint(16, len(ids) - 24), closed=False)


class Corpus:
    """Draws documents: chats with the replies of the tasks, and stretches of code."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        code: Code | None,
        code_share: float = 0.12,
        thinking_share: float = 0.12,
        turns_share: float = 0.1,
        max_tokens: int = 224,
    ) -> None:
        self.tokenizer, self.code, self.max_tokens = tokenizer, code, max_tokens
        self.code_share, self.thinking_share, self.turns_share = code_share, thinking_share, turns_share

    def document(self, rng: Random) -> Document:
        """The next document of a random state."""
        if self.code and rng.random() < self.code_share:
            return self.code.document(rng)
        example = draw(rng)
        messages: list[Message] = []
        if rng.random() < 0.25:
            messages.append({"role": "system", "content": rng.choice(_SYSTEM)})
        if rng.random() < self.turns_share:
            earlier = draw(rng)
            messages += [
                {"role": "user", "content": earlier.prompt},
                {"role": "assistant", "content": earlier.answer},
            ]
        thinking = bool(example.steps) and rng.random() < self.thinking_share
        document = self.chat(messages, example, thinking)
        if len(document.ids) > self.max_tokens:
            document = self.chat([], example, thinking)
        return document

    def chat(self, earlier: list[Message], example: Example, thinking: bool = False) -> Document:
        """A conversation that ends with the example's reply."""
        messages = [*earlier, {"role": "user", "content": example.prompt}]
        prompt = self.tokenizer.encode(render(messages, enable_thinking=thinking)).ids
        reply = self.tokenizer.encode(example.thought if thinking else example.answer).ids
        return Document([*prompt, *reply, EOS_ID], start=len(prompt))
