"""What a soak asks: every operation, mode and form, pictures too, the same each time, also in OpenAI's words."""

from __future__ import annotations

import base64
import dataclasses
import json
from typing import Any

from trimode.bundle.manifest import EFFORT, Manifest
from trimode.bundle.vision_facts import VisionFacts
from trimode.vision.limits import ImageLimits
from trimode.vision.picture_file import size_of
from trimode_perf.common.prompts import Prompt
from trimode_perf.soak.requests import FORMS, LENGTHS, MODES, PICTURES, Request, as_openai, catalogue

from tests.support.toy import manifest

BLIND = dataclasses.replace(manifest(vocab_size=2048), files={EFFORT: 1})
TOWER = VisionFacts(patch=14, merge=2, side=1540, start=18, pad=19, row_break=20, end=21)
SIGHTED = dataclasses.replace(manifest(vocab_size=129), mask_token_id=100, eos_token_id=90, vision=TOWER)
"""A small model that reads pictures, without a table of efforts."""

PROMPTS = [
    *(Prompt("sum", ({"role": "user", "content": f"What is {at} + 1?"},), answer="so it is " * 12) for at in range(24)),
    *(Prompt("code", text=f"import {at}, and more of that kind") for at in range(12)),
]


def fields_of(kind: str, bundle: Manifest = BLIND) -> list[dict[str, Any]]:
    return [request.fields for request in catalogue(PROMPTS, bundle) if request.kind.startswith(kind)]


def test_the_requests_are_the_same_each_time_and_others_for_another_seed() -> None:
    assert catalogue(PROMPTS, BLIND) == catalogue(PROMPTS, BLIND)
    assert catalogue(PROMPTS, BLIND) != catalogue(PROMPTS, BLIND, seed=1)


def test_every_mode_operation_and_form_is_asked() -> None:
    requests = catalogue(PROMPTS, BLIND)
    assert {json.dumps({name: one.fields.get(name) for name in mode}) for one in requests for mode in MODES}
    for mode in MODES:
        assert [one for one in requests if one.fields.items() >= mode.items()], mode
    assert all(fields_of(kind) for kind in ("a chat", "a text", "one gap", "two gaps", "a revision", "an answer of"))
    assert {len(fields["input_ids"]) for fields in fields_of("a prompt of ids")} == set(LENGTHS)
    assert [one for one in requests if "seed" in one.fields]


def test_a_model_that_reads_pictures_is_asked_with_them_in_every_mode_operation_and_form() -> None:
    assert not any("picture" in request.kind for request in catalogue(PROMPTS, BLIND))
    chats = fields_of("a chat with pictures", SIGHTED)
    assert all([one for one in chats if one.items() >= mode.items()] for mode in MODES if "effort" not in mode)
    assert not any("effort" in request.fields for request in catalogue(PROMPTS, SIGHTED))
    forms = fields_of("an answer of a given form, with pictures", SIGHTED)
    assert all([one for one in forms if one.items() >= form.items()] for form in FORMS)
    assert fields_of("one gap of known size, with a picture", SIGHTED)
    files = [one["image_bytes_input"][0] for one in fields_of("a revision, with a picture", SIGHTED)]
    sizes = [size_of(base64.b64decode(one), ImageLimits(), "") for one in files]
    assert sizes == [size for size, _ in PICTURES]
    (turn,) = json.loads(chats[1]["messages"])
    parts = turn["content"]
    assert [part["type"] for part in parts] == ["image_url", "image_url", "text"]
    assert {part["image_url"]["url"] for part in parts[:-1]} == {f"data:;base64,{one}" for one in files[1:3]}


def test_a_prompt_of_ids_has_no_special_token() -> None:
    used = {one for fields in fields_of("a prompt of ids", SIGHTED) for one in fields["input_ids"]}
    assert used == set(range(22, 129)) - {90, 100}


def test_openai_is_asked_for_the_same_answer() -> None:
    chat = next(one for one in catalogue(PROMPTS, BLIND) if one.kind == "a chat, autoregressive")
    body = as_openai(chat, "nano")
    assert body["model"] == "nano:autoregressive"
    assert body["messages"] == json.loads(chat.fields["messages"])
    assert body["max_tokens"] == chat.fields["max_tokens"]
    text = as_openai(Request("a text", {"text_input": "import", "mode": "auto"}, "completions"), "nano")
    assert text == {"model": "nano:auto", "prompt": "import"}
