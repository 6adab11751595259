"""Pictures of OpenAI's clients: what their parts may hold, and how many tokens they take."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from trimode.bundle.manifest import Manifest
from trimode.config import ServerConfig
from trimode.server.openai import chat_completions
from trimode.server.openai.pictures import extra_tokens, read_picture
from trimode.server.openai.shared.facts import Facts
from trimode.server.openai.shared.prompt import with_room
from trimode.server.openai.tokenize import tokenize
from trimode.vision.expansion import expand

from tests.support.openai_facts import error_of
from tests.support.picture_checkpoints import picture, write
from tests.support.pictures import FACTS

pytestmark = pytest.mark.subprocess  # a chat template is rendered in a process of its own
URL = f"data:image/png;base64,{base64.b64encode(picture('noisy')).decode()}"
PLACES = expand((2, 2), FACTS.ids)


@pytest.fixture(scope="module")
def sighted(bundle_of: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Facts:
    bundle = bundle_of(write(tmp_path_factory.mktemp("sighted") / "checkpoint"))
    return Facts.load(bundle, Manifest.load(bundle), ServerConfig(), ["eye"])


def asking(url: str) -> list[dict[str, Any]]:
    parts = [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": url}}]
    return [{"role": "user", "content": parts}]


def test_a_picture_is_tokenized_with_all_its_places(sighted: Facts) -> None:
    found = tokenize({"messages": asking(URL)}, sighted)
    at = found["tokens"].index(FACTS.start)
    assert found["tokens"][at : at + len(PLACES)] == PLACES and found["tokens"].count(FACTS.start) == 1
    assert found["count"] == len(found["tokens"])
    largest = tokenize({"messages": asking("https://a.org/b.png")}, sighted)
    assert largest["count"] == found["count"] - len(PLACES) + len(expand((50, 50), FACTS.ids))


def test_pictures_are_counted_where_they_stand() -> None:
    job: dict[str, Any] = {"image_url_input": [URL]}
    assert extra_tokens({**job, "text_input": "a"}) == (len(PLACES), True)
    assert extra_tokens({**job, "input_ids": [18]}) == (len(PLACES) - 1, True)
    assert extra_tokens({"messages": asking(URL)}) == (len(PLACES) - 1, True)
    assert extra_tokens({"text_input": "a"}) == (0, True)
    assert extra_tokens({"text_input": "a", "image_url_input": ["https://a.org"], "max_image_size": 28}) == (3, False)


def test_a_prompt_with_pictures_is_not_cut(sighted: Facts) -> None:
    asked = chat_completions.translate({"messages": asking(URL), "truncate_prompt_tokens": 4}, sighted)
    error = error_of(with_room, asked, sighted)
    assert (error.param, error.code, error.status) == ("truncate_prompt_tokens", "not_applicable", 400)
    assert "pictures" in error.message


def test_a_part_that_is_not_known_is_refused_by_name() -> None:
    given = {"type": "input_image", "image_url": URL, "detail": "low", "file_id": None}
    assert read_picture("input[0]", given) == {"type": "image_url", "image_url": {"url": URL}}
    error = error_of(read_picture, "input[0]", {**given, "scale": 2})
    assert (error.param, error.code) == ("input[0].scale", "unknown_field")
