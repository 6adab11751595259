"""The requests of a soak: every operation, mode, kind of prompt and form of an answer, drawn once from a seed.

Where the model reads pictures there are pictures among them.

Knows the fields of a request, as they are on the wire. Sends nothing.
"""

from __future__ import annotations

import base64
import io
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image
from trimode.bundle.manifest import EFFORT, Manifest

from ..common.prompts import Prompt

Fields = dict[str, Any]
CHAT, TEXT = "chat.completions", "completions"
"""The calls of OpenAI's API that ask for the same as a request here, where one does."""

MODES: tuple[Fields, ...] = (
    {"mode": "auto"},
    {"mode": "autoregressive"},
    {"mode": "diffusion"},
    {"mode": "diffusion", "effort": 0.7},
    {"mode": "self_speculation"},
    {"mode": "self_speculation", "speculation": "quadratic", "block_length": 6},
)
SAMPLED: Fields = {"temperature": 0.8, "top_p": 0.95}
LENGTHS = (1, 15, 17, 64, 250, 257, 600, 1200, 1880)
"""Tokens of prompts that are given as ids: around the sizes of a page, a bucket and a chunk, up to the capacity."""
LAST_SPECIAL = 21  # of the family's vocabularies, where no picture is read
FIRST_ID, LAST_ID = 300, 2000  # of such prompts: no special token of a vocabulary that has at least so many
PICTURES = (((1, 1), "PNG"), ((28, 28), "JPEG"), ((56, 57), "WebP"), ((300, 200), "PNG"))
"""Width and height in pixels, and format: less than a cell, a cell, a row of cells more than two, several calls."""
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 12}, "age": {"type": "integer"}},
    "required": ["name", "age"],
}
FORMS: tuple[Fields, ...] = (
    {"guided_decoding_guide_type": "json_schema", "guided_decoding_guide": json.dumps(SCHEMA)},
    {"guided_decoding_guide_type": "regex", "guided_decoding_guide": "[a-c]{3,12}[0-9]{2}"},
    {"guided_decoding_guide_type": "choice", "guided_decoding_guide": '["yes", "no", "perhaps"]'},
)
REFUSED: tuple[tuple[Fields, str], ...] = (
    ({"text_input": "Once", "max_tokens": 0}, "invalid_value"),
    ({"text_input": "Once", "top_p": 2.0}, "invalid_value"),
    ({"text_input": "Once", "text": "Once"}, "bad_prompt"),
    ({"text_input": "Once", "guided_decoding_guide_type": "regex", "guided_decoding_guide": "(("}, "bad_grammar"),
)
"""Requests that nobody can answer, and the type of the error that says so."""


@dataclass(frozen=True)
class Request:
    """One request. `kind` names it in the record; `openai` is the call of OpenAI's API that asks the same, or ""."""

    kind: str
    fields: Fields
    openai: str = ""


def catalogue(prompts: Sequence[Prompt], manifest: Manifest, seed: int = 0) -> list[Request]:
    """Return some 200 requests to a bundle, the same for the same prompts and seed."""
    draw, efforts = random.Random(seed), EFFORT in manifest.files
    modes = [mode for mode in MODES if efforts or "effort" not in mode]
    found = [*_answers(prompts, modes, draw), *_lengths(_ids(manifest), modes, draw), *_forms(prompts, draw)]
    found += _edits(prompts, draw, efforts=efforts)
    return found if manifest.vision is None else [*found, *_sights(prompts, modes, draw)]


def _ids(manifest: Manifest) -> Sequence[int]:
    """Return what prompts of ids are made of: no special token."""
    if manifest.vocab_size > LAST_ID:
        return range(FIRST_ID, LAST_ID + 1)
    pictures = () if manifest.vision is None else manifest.vision.ids
    special = (manifest.mask_token_id, manifest.eos_token_id)
    return [one for one in range(max(pictures, default=LAST_SPECIAL) + 1, manifest.vocab_size) if one not in special]


def _answers(prompts: Sequence[Prompt], modes: Sequence[Fields], draw: random.Random) -> Iterator[Request]:
    """Chats and texts in every mode, greedy and sampled with a seed; every third chat has an earlier turn."""
    for at, prompt in enumerate(prompts):
        fields = dict(prompt.wire)
        if prompt.messages is not None and at % 3 == 0:
            earlier = prompts[at - 1].messages or prompt.messages
            turns = [*earlier, {"role": "assistant", "content": "It is."}, *prompt.messages]
            fields["messages"] = json.dumps(turns)
        fields |= modes[at % len(modes)] | {"max_tokens": draw.choice((8, 40, 120))}
        if at % 4 == 3:
            fields |= SAMPLED | {"seed": at}
        what = "a text" if prompt.messages is None else "a chat"
        yield Request(f"{what}, {fields['mode']}", fields, TEXT if prompt.messages is None else CHAT)


def _lengths(some: Sequence[int], modes: Sequence[Fields], draw: random.Random) -> Iterator[Request]:
    for length in LENGTHS:
        for mode in modes:
            ids = [draw.choice(some) for _ in range(length)]
            yield Request(
                f"a prompt of ids, {mode['mode']}", {"input_ids": ids, "max_tokens": 12, "end_id": -1, **mode}
            )


def _forms(prompts: Sequence[Prompt], draw: random.Random) -> Iterator[Request]:
    """Answers that must match something."""
    chats = [prompt for prompt in prompts if prompt.messages is not None]
    for at, form in enumerate(FORMS * 4):
        mode = ("auto", "autoregressive", "diffusion", "self_speculation")[at // len(FORMS)]
        fields = {**draw.choice(chats).wire, **form, "mode": mode, "max_tokens": 60}
        yield Request("an answer of a given form", fields)


def _edits(prompts: Sequence[Prompt], draw: random.Random, *, efforts: bool) -> Iterator[Request]:
    """Texts with gaps of known and unknown size, and texts to revise."""
    texts = [prompt.answer or prompt.text or "" for prompt in prompts if len(prompt.answer or prompt.text or "") > 60]
    for at, text in enumerate(texts[:24]):
        cut = sorted(draw.sample(range(5, len(text) - 5), 2))
        left, middle, right = text[: cut[0]], text[cut[0] : cut[1]], text[cut[1] :]
        if at % 3 == 0:
            yield Request("one gap of unknown size", {"text_input": left, "suffix": right, "max_tokens": 16})
        elif at % 3 == 1:
            gaps = [left, {"infill_tokens": 6}, middle, {"infill_tokens": 3}, right]
            yield Request("two gaps of known size", {"segments": json.dumps(gaps)})
        else:
            spoiled = left + middle[::-1] + right
            effort = {"effort": draw.choice((0.2, 0.8))} if efforts else {}
            yield Request("a revision", {"text": spoiled, **effort})


def _sights(prompts: Sequence[Prompt], modes: Sequence[Fields], draw: random.Random) -> Iterator[Request]:
    """Chats with one or two pictures in every mode, some of a later turn or a given form; a gap and a revision."""
    drawn = [_picture(draw, *one) for one in PICTURES]
    chats = [prompt.messages[-1]["content"] for prompt in prompts if prompt.messages is not None]
    for at, mode in enumerate([*modes] * len(PICTURES)):
        shown = [drawn[(at + more) % len(drawn)] for more in range(1 + at % 2)]
        parts = [{"type": "image_url", "image_url": {"url": f"data:;base64,{one}"}} for one in shown]
        turns: list[Fields] = [{"role": "user", "content": [*parts, {"type": "text", "text": chats[at % len(chats)]}]}]
        if at % 3 == 0:
            turns += [{"role": "assistant", "content": "It is."}, {"role": "user", "content": draw.choice(chats)}]
        fields = {"messages": json.dumps(turns), "max_tokens": draw.choice((8, 40)), **mode}
        if at % 4 == 3:
            fields |= SAMPLED | {"seed": at}
        yield Request(f"a chat with pictures, {mode['mode']}", fields, CHAT)
        if at < len(FORMS):
            yield Request("an answer of a given form, with pictures", {**fields, **FORMS[at], "max_tokens": 60})
    for one in drawn:
        gap = {"text_input": "It shows", "suffix": " and more.", "infill_tokens": 4}
        yield Request("one gap of known size, with a picture", {**gap, "image_bytes_input": [one]})
        yield Request("a revision, with a picture", {"text": "It shows a thing.", "image_bytes_input": [one]})


def _picture(draw: random.Random, size: tuple[int, int], form: str) -> str:
    """Return the file of a picture of noise, in base64."""
    file = io.BytesIO()
    Image.frombytes("RGB", size, draw.randbytes(3 * size[0] * size[1])).save(file, form)
    return base64.b64encode(file.getvalue()).decode("ascii")


def as_openai(request: Request, model: str) -> Fields:
    """Return the body of `request.openai` that asks for the same answer."""
    fields = dict(request.fields)
    body: Fields = {"model": f"{model}:{fields.pop('mode')}"}
    if request.openai == CHAT:
        body["messages"] = json.loads(fields.pop("messages"))
    else:
        body["prompt"] = fields.pop("text_input")
    return body | fields
