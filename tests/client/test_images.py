"""Pictures as the client takes them: paths, URLs, bytes and Pillow's, before the text of a prompt."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from trimode_client import InvalidRequestError
from trimode_client.images import url_of, with_images
from trimode_client.request import build, build_infill, build_revise

from tests.support.pictures import noise, saved

DATA = saved(noise(5, 4))
URL = f"data:;base64,{base64.b64encode(DATA).decode()}"
PART = {"type": "image_url", "image_url": {"url": URL}}


def test_files_and_bytes_become_urls_that_hold_them(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(DATA)
    for one in (DATA, tmp_path / "a.png", str(tmp_path / "a.png")):
        assert url_of(one) == URL
    for url in (URL, "https://a.org/b.png", "HTTP://a.org/b.png"):
        assert url_of(url) == url


def test_a_picture_of_pillow_keeps_its_pixels() -> None:
    sent = base64.b64decode(url_of(noise(5, 4)).partition(",")[2])
    assert Image.open(io.BytesIO(sent)).tobytes() == noise(5, 4).tobytes()


def test_pictures_stand_before_a_question_and_before_the_users_last_message() -> None:
    asked = json.loads(build("what", None, None, None, {"images": [DATA]}, stream=False)["messages"])
    assert asked == [{"role": "user", "content": [PART, {"type": "text", "text": "what"}]}]
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "yes"},
        {"role": "user", "content": [{"type": "text", "text": "second"}]},
    ]
    made = with_images({"messages": messages}, [DATA])["messages"]
    assert made[:2] == messages[:2]
    last: dict[str, Any] = made[2]
    assert last["content"] == [PART, {"type": "text", "text": "second"}]
    assert messages[2]["content"] == [{"type": "text", "text": "second"}]


def test_other_prompts_have_a_field_for_them() -> None:
    knobs = {"images": [DATA, "https://a.org/b.png"], "max_image_size": 56}
    made = (
        build(None, None, "a", None, knobs, stream=False),
        build(None, None, None, [5, 18, 18], knobs, stream=False),
        build_infill("a", "b", None, None, knobs),
        build_revise("a", knobs),
    )
    for one in made:
        assert one["image_url_input"] == [URL, "https://a.org/b.png"]
        assert one["max_image_size"] == 56 and "images" not in one


def test_none_and_an_empty_list_are_no_pictures() -> None:
    plain = build("what", None, None, None, {}, stream=False)
    assert build("what", None, None, None, {"images": None}, stream=False) == plain
    assert build("what", None, None, None, {"images": []}, stream=False) == plain


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (["/nowhere/a.png"], "bad_image: the picture /nowhere/a.png cannot be read"),
        (["a\0b"], "bad_image"),
        ([Image.new("CMYK", (2, 2))], "bad_image: a picture cannot be saved as PNG, convert it to RGB"),
        ([5], "wrong_type: a picture must be a path, a URL, bytes or a picture of Pillow, got int"),
        ("a.png", "wrong_type: images must be a list, got str"),
        (DATA, "wrong_type: images must be a list, got bytes"),
    ],
)
def test_what_is_no_picture_is_refused(images: object, said: str) -> None:
    with pytest.raises(InvalidRequestError, match=said):
        build("what", None, None, None, {"images": images}, stream=False)


def test_pictures_need_a_message_of_the_user() -> None:
    with pytest.raises(InvalidRequestError, match="need a message of the user"):
        with_images({"messages": [{"role": "system", "content": "a"}]}, [DATA])
