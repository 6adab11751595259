"""The training text: an endless, seeded mixture of chats made by the tasks and of stretches of code and prose.

The same random state gives the same document. A hash of a prompt's text, or of a file's name, decides whether it is
held out. Knows nothing about batches or models.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from ..model.config import EOS_ID
from .chat import Message, render
from .packing import Document
from .recipe import Mixture
from .sources import Kind, is_held_out, texts
from .tasks import TASKS, Example

_SYSTEM = (
    "You are a helpful assistant.",
    "You are a careful assistant. Answer exactly.",
    "Answer the user's question.",
    "You are a friendly and precise assistant.",
)


HELD_OUT_PROMPTS = 25  # one prompt in so many is held out


def draw(rng: Random, held_out: bool = False, domain: str | None = None) -> Example:
    """Draw an example of the training share, or of the held-out share."""
    while True:
        task = TASKS[domain] if domain else rng.choices(list(TASKS.values()), [t.weight for t in TASKS.values()])[0]
        example = task.make(rng)
        if is_held_out(example.prompt, HELD_OUT_PROMPTS) == held_out:
            return example


@dataclass(frozen=True)
class Stretches:
    """Files as one array of ids, and where lines start in it."""

    ids: npt.NDArray[np.uint16]  # (tokens,)
    lines: npt.NDArray[np.int64]  # (lines,)
    ends: npt.NDArray[np.int64]  # (lines,), the end of the line's file

    @classmethod
    def of(cls, texts: list[str], tokenizer: Tokenizer) -> Stretches:
        """Encode whole files."""
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
    """Draws documents: chats with the replies of the tasks, and stretches of code and prose."""

    def __init__(self, tokenizer: Tokenizer, mixture: Mixture, max_tokens: int = 224) -> None:
        self.tokenizer, self.mixture, self.max_tokens = tokenizer, mixture, max_tokens
        self.stretches: dict[Kind, Stretches] = {}
        for kind, share in self._shares().items():
            if share > 0:
                self.stretches[kind] = Stretches.of([text for _, text in texts(kind)], tokenizer)

    def _shares(self) -> dict[Kind, float]:
        return {"code": self.mixture.code_share, "prose": self.mixture.prose_share}

    def document(self, rng: Random) -> Document:
        """Draw a document; the same random state gives the same one."""
        drawn = rng.random()
        for kind, share in self._shares().items():
            if drawn < share:
                return self.stretches[kind].document(rng)
            drawn -= share
        example = draw(rng)
        messages: list[Message] = []
        if rng.random() < 0.25:
            messages.append({"role": "system", "content": rng.choice(_SYSTEM)})
        if rng.random() < self.mixture.turns_share:
            earlier = draw(rng)
            messages += [
                {"role": "user", "content": earlier.prompt},
                {"role": "assistant", "content": earlier.answer},
            ]
        thinking = bool(example.steps) and rng.random() < self.mixture.thinking_share
        document = self.chat(messages, example, thinking)
        if len(document.ids) > self.max_tokens:
            document = self.chat([], example, thinking)
        return document

    def chat(self, earlier: list[Message], example: Example, thinking: bool = False) -> Document:
        """Make a conversation that ends with the example's reply."""
        messages = [*earlier, {"role": "user", "content": example.prompt}]
        prompt = self.tokenizer.encode(render(messages, enable_thinking=thinking)).ids
        reply = self.tokenizer.encode(example.thought if thinking else example.answer).ids
        return Document([*prompt, *reply, EOS_ID], start=len(prompt))

    def held_out(self, per_domain: int, seed: int) -> list[tuple[str, Document]]:
        """Draw held-out conversations of every domain, with its name; the same seed gives the same ones."""
        rng = Random(f"held-out {seed}")
        return [(name, self.chat([], draw(rng, True, name))) for name in TASKS for _ in range(per_domain)]
