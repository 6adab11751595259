"""A real server that reads pictures: every mode over HTTP, gRPC and the faces of OpenAI and Anthropic, and refusals."""

from __future__ import annotations

import base64
import io
import json
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from PIL import Image
from trimode_client import InvalidRequestError

from tests.server.refusals import refused, refused_over_grpc
from tests.server.sdk import Protocol, client, protocols
from tests.server.server import Server
from tests.server.wire import generate as ask
from tests.server.wire import send
from tests.support.picture_checkpoints import picture, write

NOISY = picture("noisy")
PLACES = 7  # of 2 x 2 cells: four of them, a break, and two around
URL = f"data:image/png;base64,{base64.b64encode(NOISY).decode()}"
ASKED: dict[str, Any] = {"max_tokens": 12, "end_id": -1}
MODES: dict[str, dict[str, Any]] = {
    "autoregressive": {"mode": "autoregressive"},
    "linear": {"mode": "self_speculation", "block_length": 8},
    "quadratic": {"mode": "self_speculation", "block_length": 4, "speculation": "quadratic"},
    "auto": {"mode": "auto"},
    "diffusion": {"mode": "diffusion", "block_length": 8},
}


def messages(url: str = URL) -> Any:
    parts = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "tell"}]
    return [{"role": "user", "content": parts}]


def generate(server: Server, given: dict[str, Any]) -> dict[str, Any]:
    status, answer = ask(server.http_port, given)
    assert status == 200, answer
    return answer


@pytest.fixture(scope="module")
def sighted(bundle_of: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("sighted")
    bundle = bundle_of(write(folder / "checkpoint"))
    with Server(
        bundle, folder / "log", "--allowed-media-domains", "localhost,127.0.0.1", "--served-model-name", "eye",
        TRIMODE_THREADS="1",
    ) as made:  # fmt: skip
        yield made


@pytest.fixture(scope="module")
def asking(sighted: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"http://127.0.0.1:{sighted.http_port}/v1", api_key="-", max_retries=0) as made:
        yield made


@pytest.fixture(scope="module")
def expected(sighted: Server) -> dict[str, str]:
    """The text of each mode over HTTP; all but diffusion's are the same."""
    asked = {**ASKED, "messages": messages(), "return_perf_metrics": True}
    answers = {name: generate(sighted, {**asked, **mode}) for name, mode in MODES.items()}
    assert {one["image_tokens"] for one in answers.values()} == {PLACES}
    return {name: str(one["text_output"]) for name, one in answers.items()}


def test_every_mode_answers_over_http(sighted: Server, expected: dict[str, str]) -> None:
    assert len({text for name, text in expected.items() if name != "diffusion"}) == 1
    assert all(expected.values())
    other = f"data:;base64,{base64.b64encode(picture('exact')).decode()}"
    seen = generate(sighted, {**ASKED, **MODES["autoregressive"], "messages": messages(other)})
    assert seen["text_output"] != expected["autoregressive"]


@pytest.mark.parametrize("name", MODES)
@protocols
def test_every_mode_answers_the_sdk(
    sighted: Server, expected: dict[str, str], tmp_path: Path, protocol: Protocol, name: str
) -> None:
    """A picture as bytes, a path, a URL, and Pillow's; PNG has no loss, so that all are the same."""
    (tmp_path / "a.png").write_bytes(NOISY)
    with client(sighted, protocol) as made, Image.open(io.BytesIO(NOISY)) as image:
        for one in (NOISY, tmp_path / "a.png", str(tmp_path / "a.png"), URL, image):
            answer = made.generate("tell", images=[one], **ASKED, **MODES[name])
            assert answer.text == expected[name]
            assert answer.counters["image_tokens"] == PLACES


@protocols
def test_gaps_and_texts_take_pictures_too(sighted: Server, protocol: Protocol) -> None:
    with client(sighted, protocol) as made:
        assert made.infill("ab", "cd", images=[NOISY], infill_tokens=3).counters["image_tokens"] == PLACES
        assert made.revise("abcabc", images=[NOISY]).counters["image_tokens"] == PLACES


@pytest.mark.parametrize("name", ["autoregressive", "self_speculation", "auto", "diffusion"])
def test_chats_of_openai_hold_pictures(asking: openai.OpenAI, expected: dict[str, str], name: str) -> None:
    answer = asking.chat.completions.create(
        model=f"eye:{name}", messages=messages(), max_tokens=12, temperature=0, extra_body={"end_id": -1}
    )
    if name != "diffusion":
        assert answer.choices[0].message.content == expected["autoregressive"]
    assert answer.usage is not None and answer.usage.prompt_tokens_details is not None
    assert answer.usage.prompt_tokens_details.to_dict()["image_tokens"] == PLACES
    open_end = asking.chat.completions.create(model="eye", messages=messages())
    assert open_end.choices[0].finish_reason in ("stop", "length")


def test_responses_and_messages_hold_pictures(asking: openai.OpenAI, sighted: Server, expected: dict[str, str]) -> None:
    item: Any = {
        "role": "user",
        "content": [{"type": "input_image", "image_url": URL}, {"type": "input_text", "text": "tell"}],
    }
    answer = asking.responses.create(
        model="eye", input=[item], max_output_tokens=12, temperature=0, extra_body={"end_id": -1}
    )
    assert answer.output_text == expected["autoregressive"]
    source = {"type": "base64", "media_type": "image/png", "data": URL.partition(",")[2]}
    content = [{"type": "image", "source": source}, {"type": "text", "text": "tell"}]
    body = {"model": "eye", "max_tokens": 12, "temperature": 0, "end_id": -1}
    body["messages"] = [{"role": "user", "content": content}]
    said = post(sighted, "/v1/messages", body)
    assert said["content"][0]["text"] == expected["autoregressive"]
    del body["end_id"]
    counted = post(sighted, "/v1/messages/count_tokens", body)
    assert counted["input_tokens"] == said["usage"]["input_tokens"] + said["usage"]["cache_read_input_tokens"]


def post(server: Server, path: str, body: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.http_port}{path}",
        json.dumps(body).encode(),
        {"Content-Type": "application/json", "anthropic-version": "2023-06-01"},
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        found: dict[str, Any] = json.loads(answer.read())
    return found


def test_completions_take_pictures_before_their_text(asking: openai.OpenAI, sighted: Server) -> None:
    answer = asking.completions.create(
        model="eye", prompt="ab", temperature=0, max_tokens=12, extra_body={"image_url_input": [URL], "end_id": -1}
    )
    plain = generate(sighted, {**ASKED, "text_input": "ab", "image_url_input": [URL]})
    assert answer.choices[0].text == plain["text_output"]


def test_ids_take_pictures_at_their_places(sighted: Server) -> None:
    asked = {"input_ids": [5, 18, 6], "image_bytes_input": [URL.partition(",")[2]], "return_num_input_tokens": True}
    assert generate(sighted, {**ASKED, **asked})["num_input_tokens"] == PLACES + 2


@pytest.mark.parametrize(
    ("given", "error_type"),
    [
        ({"image_url_input": ["http://localhost/a.png"]}, "bad_image_url"),
        ({"image_url_input": ["http://127.0.0.1:80/a.png"]}, "bad_image_url"),
        ({"image_url_input": ["http://example.com/a.png"]}, "bad_image_url"),
        ({"image_bytes_input": ["AAAA"]}, "bad_image"),
        ({"image_bytes_input": [URL.partition(",")[2]], "max_image_size": 29}, "invalid_value"),
    ],
)
def test_what_cannot_be_is_refused(sighted: Server, given: dict[str, Any], error_type: str) -> None:
    """Loopback is refused though the operator named it."""
    refused(sighted, {"text_input": "a", **given}, error_type)
    refused_over_grpc(sighted, {"text_input": "a", **given}, error_type)


def test_a_model_says_how_many_pictures_it_takes(sighted: Server, server: Server) -> None:
    assert {one["max_images"] for one in models(sighted)} == {8}
    assert {one["max_images"] for one in models(server)} == {0}


def models(server: Server) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(send(server.http_port, "GET", "/v1/models")[1])["data"]
    return found


def test_a_model_of_text_alone_refuses_pictures(server: Server) -> None:
    refused(server, {"text_input": "a", "image_url_input": [URL]}, "not_applicable")
    refused(server, {"messages": messages()}, "not_applicable")
    with (
        openai.OpenAI(base_url=f"http://127.0.0.1:{server.http_port}/v1", api_key="-", max_retries=0) as made,
        pytest.raises(openai.BadRequestError, match="no picture"),
    ):
        made.chat.completions.create(model="nano", messages=messages())
    with client(server, "grpc") as made_client, pytest.raises(InvalidRequestError, match="text alone"):
        made_client.generate("tell", images=[NOISY])
