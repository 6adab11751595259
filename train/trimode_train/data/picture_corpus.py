"""Documents with a picture, a question and its answer, mixed with those of another corpus. Knows no models."""

from __future__ import annotations

from random import Random

from tokenizers import Tokenizer
from trimode.bundle.vision_facts import PictureIds
from trimode.vision.expansion import expand

from ..model.config import EOS_ID, IMAGE_BREAK_ID, IMAGE_END_ID, IMAGE_PAD_ID, IMAGE_START_ID
from .chat import IMAGE_TEMPLATE, Message, render
from .packing import Document, Documents
from .patches import cells_of
from .pictures import PICTURES, Drawn, PictureTask, Variety
from .recipe import PictureOptions

IDS = PictureIds(IMAGE_START_ID, IMAGE_PAD_ID, IMAGE_BREAK_ID, IMAGE_END_ID)


def variety_of(options: PictureOptions, held_out: bool = False) -> Variety:
    """Return what may be drawn by a recipe's settings."""
    return Variety(held_out, options.digits, options.faces, options.words, options.noisy)


def domains_of(options: PictureOptions) -> list[PictureTask]:
    """Return the tasks of a recipe's settings. Raises ValueError that names a domain there is not."""
    for name in options.domains:
        if name not in PICTURES:
            raise ValueError(f"pictures.domains: unknown domain {name!r}; known: {', '.join(PICTURES)}")
    return [PICTURES[name] for name in options.domains or PICTURES]


class PictureCorpus:
    """Draws documents with pictures, and for the rest documents of `text`, which may be None if there is no rest."""

    def __init__(self, tokenizer: Tokenizer, options: PictureOptions, text: Documents | None) -> None:
        if text is None and options.share < 1:
            raise ValueError(f"pictures.share is {options.share}: the rest needs a corpus of text")
        self.tokenizer, self.options, self.text = tokenizer, options, text
        self.tasks, self.variety = domains_of(options), variety_of(options)

    def document(self, rng: Random) -> Document:
        """Draw a document; the same random state gives the same one."""
        if self.text is not None and rng.random() >= self.options.share:
            return self.text.document(rng)
        task = rng.choices(self.tasks, [task.weight for task in self.tasks])[0]
        return self.chat(task.make(rng, self.variety))

    def chat(self, drawn: Drawn) -> Document:
        """Make the conversation of a picture; the picture stands before the question."""
        if self.options.chat:
            parts = [{"type": "image"}, {"type": "text", "text": drawn.question}]
            messages: list[Message] = [{"role": "user", "content": parts}]
            text = self.tokenizer.encode(render(messages, template=IMAGE_TEMPLATE)).ids
            place = text.index(IMAGE_START_ID)
            prompt = [*text[:place], *expand(cells_of(drawn.pixels), IDS), *text[place + 1 :]]
        else:
            prompt = [*expand(cells_of(drawn.pixels), IDS), *self.tokenizer.encode(drawn.question).ids]
        reply = self.tokenizer.encode(drawn.answer).ids
        return Document([*prompt, *reply, EOS_ID], start=len(prompt), pictures=(drawn.pixels,))

    def questions(self, per_domain: int, seed: int, held_out: bool = True) -> list[tuple[str, Document]]:
        """Draw questions of every domain, with its name; the same seed gives the same ones."""
        rng, variety = Random(f"pictures {seed}"), variety_of(self.options, held_out)
        return [(task.name, self.chat(task.make(rng, variety))) for task in self.tasks for _ in range(per_domain)]

    def held_out(self, per_domain: int, seed: int) -> list[tuple[str, Document]]:
        """Draw held-out questions on pictures, and the text corpus's own."""
        of_text = getattr(self.text, "held_out", None)
        return [*self.questions(per_domain, seed), *(of_text(per_domain, seed) if of_text else [])]
