"""Requests with pictures, on a tiny checkpoint that reads them: places in the prompt, modes, gaps, refusals."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from trimode.api.answer import Chunk
from trimode.config import ServerConfig
from trimode.errors import CancelledError, DeadlineError
from trimode.runtime import Runtime
from trimode.vision.expansion import expand, expanded_length
from trimode.vision.picture import prepare

from tests.support.picture_checkpoints import KIT, MARKERS, picture, write
from tests.support.pictures import FACTS, noise, saved
from tests.support.refused import refused

pytestmark = pytest.mark.subprocess  # chat templates are rendered, and grammars tried, in processes of their own
CASES: list[dict[str, Any]] = json.loads((KIT / "cases.json").read_text(encoding="utf-8"))
MODES: tuple[dict[str, object], ...] = (
    {"mode": "autoregressive"},
    {"mode": "self_speculation", "block_length": 8},
    {"mode": "self_speculation", "block_length": 4, "speculation": "quadratic"},
    {"mode": "auto", "block_length": 8},
)
"""What gives the same text, token for token."""


@pytest.fixture(scope="module")
def sighted(bundle_of: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    bundle = bundle_of(write(tmp_path_factory.mktemp("sighted") / "checkpoint"))
    runtime = Runtime.open(ServerConfig(bundle=bundle, threads=1, max_images=3))
    yield runtime
    runtime.close()


def as_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def as_url(data: bytes) -> str:
    return f"data:image/png;base64,{as_base64(data)}"


def said(*parts: object) -> list[dict[str, object]]:
    """A message of the user made of texts and of URLs of pictures."""
    urls = {"data:", "https", "http:"}
    made = [
        {"type": "image_url", "image_url": {"url": part}} if str(part)[:5] in urls else {"type": "text", "text": part}
        for part in parts
    ]
    return [{"role": "user", "content": made}]


def prompt_of(runtime: Runtime, **given: object) -> list[int]:
    """The ids that the model read."""
    chunk = runtime.generate({"max_tokens": 1, "return_prompt_log_probs": True, "mode": "autoregressive", **given})
    assert chunk.prompt is not None
    return chunk.prompt.ids


NOISY = picture("noisy")
CELLS = prepare(NOISY).cells


@pytest.mark.parametrize("case", [one for one in CASES if one["checkpoint"] == "plain" and one["mode"] == "ar"])
def test_cases_of_the_kit_come_out_through_fields(sighted: Runtime, case: dict[str, Any]) -> None:
    """With one id 18 a picture; a case whose pictures differ in size setting cannot be said so."""
    parts = [part for part in case["prompt"] if isinstance(part, dict)]
    caps = {part["max_image_size"] or 1400 for part in parts}
    if len(caps) > 1:
        pytest.skip("a request has one size setting")
    given: dict[str, object] = {
        "input_ids": [18 if isinstance(part, dict) else part for part in case["prompt"]],
        "max_tokens": case["params"]["max_new_tokens"],
        "mode": "autoregressive",
    }
    if parts:
        given |= {
            "image_bytes_input": [as_base64(picture(part["image"])) for part in parts],
            "max_image_size": min(caps),
        }
    if (end := case["params"]["eos_token_id"]) is not None:
        given["end_id"] = end
    answer = sighted.generate(given, reference=True)
    assert answer.token_ids == case["expected_output_ids"][0]
    assert answer.num_input_tokens == len(case["prompt_ids"][0])


def test_pictures_stand_where_messages_have_them(sighted: Runtime) -> None:
    ids = prompt_of(sighted, messages=said("a", as_url(NOISY), "b", as_url(picture("pixel"))))
    plain = prompt_of(sighted, messages=said("ab"))
    at = ids.index(18)
    first = ids[at : at + expanded_length(CELLS)]
    assert first == expand(CELLS, FACTS.ids)
    rest = ids[:at] + ids[at + len(first) :]
    assert rest[:-8] + rest[-8:] == [*rest] and rest.count(18) == 1
    assert [token for token in rest if token not in MARKERS] == plain


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": as_url(NOISY), "detail": "low"}},
        {"type": "image_url", "image_url": as_url(NOISY)},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": as_base64(NOISY)}},
        {"type": "image", "source": {"type": "url", "url": as_url(NOISY)}},
        {"type": "image", "image": as_url(NOISY)},
        {"type": "image", "url": as_url(NOISY)},
        {"type": "image", "base64": as_base64(NOISY)},
    ],
)
def test_every_shape_of_a_part_is_the_same_picture(sighted: Runtime, part: dict[str, object]) -> None:
    messages = [{"role": "user", "content": [part, {"type": "text", "text": "what"}]}]
    assert prompt_of(sighted, messages=messages) == prompt_of(sighted, messages=said(as_url(NOISY), "what"))


def test_pictures_beside_a_text_stand_before_it(sighted: Runtime) -> None:
    ids = prompt_of(sighted, text_input="ab", image_url_input=[as_url(NOISY)])
    assert ids == [*expand(CELLS, FACTS.ids), *prompt_of(sighted, text_input="ab")]
    both = prompt_of(
        sighted, text_input="ab", image_url_input=[as_url(NOISY)], image_bytes_input=[as_base64(picture("pixel"))]
    )
    assert both == [*expand((1, 1), FACTS.ids), *ids]


def test_a_smaller_setting_takes_fewer_places(sighted: Runtime) -> None:
    ids = prompt_of(sighted, input_ids=[5, 18], image_bytes_input=[as_base64(NOISY)], max_image_size=28)
    assert ids == [5, *expand((1, 1), FACTS.ids)]


@pytest.mark.parametrize("allow", [False, True])
def test_markers_that_a_caller_writes_are_text(sighted: Runtime, allow: bool) -> None:
    for marker in MARKERS.values():
        wrote = prompt_of(sighted, messages=said(f"a{marker}b"), allow_special_tokens=allow)
        assert not set(MARKERS) & set(wrote)
        assert not set(MARKERS) & set(prompt_of(sighted, text_input=f"a{marker}b"))
        beside = prompt_of(sighted, messages=said(f"a{marker}b", as_url(NOISY)), allow_special_tokens=allow)
        assert sum(token in MARKERS for token in beside) == expanded_length(CELLS)
    assert (100 in prompt_of(sighted, messages=said("<mask>"), allow_special_tokens=True)) is True


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_modes_whose_text_is_exact_agree_behind_a_picture(sighted: Runtime, mode: dict[str, object]) -> None:
    asked = {"messages": said(as_url(NOISY), "tell"), "max_tokens": 20, "end_id": -1}
    expected = sighted.generate({**asked, "mode": "autoregressive"})
    answer = sighted.generate({**asked, **mode})
    assert answer.token_ids == expected.token_ids
    assert answer.counters.image_tokens == expanded_length(CELLS)
    assert (
        answer.token_ids
        != sighted.generate({**asked, **mode, "messages": said(as_url(picture("exact")), "tell")}).token_ids
    )


def test_diffusion_schemas_gaps_and_revisions_work_behind_a_picture(sighted: Runtime) -> None:
    image = {"image_url_input": [as_url(NOISY)]}
    known = expanded_length(CELLS)

    def ask(**given: object) -> Chunk:
        chunk = sighted.generate({"max_tokens": 8, **given})
        assert chunk.counters.image_tokens == known
        assert chunk.num_input_tokens > known
        return chunk

    asked = said(as_url(NOISY), "tell")
    assert len(ask(messages=asked, mode="diffusion", end_id=-1).token_ids) == 8
    digits = ask(messages=asked, guided_decoding_guide_type="regex", guided_decoding_guide="[0-9]{3}")
    assert digits.text.isdigit() and len(digits.text) == 3
    assert len(ask(text_input="ab", suffix="cd", infill_tokens=3, **image).fills) == 1
    assert len(ask(segments=["ab", {"infill_tokens": 2}, "cd", {}, "e"], **image).fills) == 2
    assert len(ask(messages=asked, suffix="cd", infill_lengths=[2, 3]).fills) == 1
    assert len(ask(segments=["ab", {}, "cd"], instruction="fill", **image).fills) == 1
    revised = sighted.generate({"text": "abcabc", "instruction": "mend", **image})
    assert revised.counters.image_tokens == known and revised.num_input_tokens > known
    assert sighted.generate({"text": "abcabc", **image}).counters.image_tokens == known


def test_a_picture_changes_how_likely_a_filling_is(sighted: Runtime) -> None:
    asked: dict[str, object] = {"text_input": "ab", "suffix": "cd", "infill_tokens": 6, "return_candidates": True}
    scores = set()
    for name in ("noisy", "exact", "grey"):
        answer = sighted.generate({**asked, "image_url_input": [as_url(picture(name))]})
        scores.add(max(one.score or -99.0 for one in answer.candidates[0]))
    assert len(scores) == 3


def test_the_same_picture_in_a_second_turn_is_not_encoded_or_read_again(sighted: Runtime) -> None:
    url = as_url(saved(noise(280, 252)))
    first = sighted.generate({"messages": said(url, "tell"), "max_tokens": 4, "end_id": -1})
    before = sighted.stats()
    turns = [*said(url, "tell"), {"role": "assistant", "content": first.text}, {"role": "user", "content": "more"}]
    second = sighted.generate({"messages": turns, "max_tokens": 4, "end_id": -1})
    after = sighted.stats()
    assert after.encoded_pictures == before.encoded_pictures
    assert after.found_pictures == before.found_pictures + 1
    assert second.counters.cached_tokens >= expanded_length((10, 9)) - 32


@pytest.mark.parametrize(
    ("given", "error_type", "limit"),
    [
        ({"text_input": "a", "image_bytes_input": ["AAAA"]}, "bad_image", "must be a PNG"),
        ({"text_input": "a", "image_bytes_input": ["**"]}, "bad_image", "must be valid base64"),
        ({"text_input": "a", "image_url_input": ["http://a.org/x.png"]}, "bad_image_url", "--allowed-media-domains"),
        ({"text_input": "a", "image_url_input": ["file:///etc/passwd"]}, "bad_image_url", "http://"),
        ({"text_input": "a", "image_bytes_input": [as_base64(NOISY)] * 4}, "invalid_value", "at most 3 pictures"),
        ({"text_input": "a", "max_image_size": 28}, "not_applicable", "needs a picture"),
        ({"text_input": "a", "image_bytes_input": [as_base64(NOISY)], "max_image_size": 30}, "invalid_value", "of 28"),
        ({"input_ids": [1], "image_bytes_input": [as_base64(NOISY)]}, "bad_image", "id 18 once for each of 1"),
        ({"input_ids": [1, 18]}, "bad_image", "id 18 once for each of 0"),
        ({"input_ids": [1, 19]}, "bad_image", "which the server expands"),
        ({"messages": said("a"), "image_url_input": [as_url(NOISY)]}, "not_applicable", "whose parts"),
        ({"messages": [{"role": "system", "content": said(as_url(NOISY))[0]["content"]}]}, "not_applicable", "user's"),
        ({"messages": said("data:image/png;base64,AAAA")}, "bad_image", "must be a PNG"),
        (
            {"segments": ["<|image_pad|>", {}], "instruction": "x", "image_url_input": [as_url(NOISY)]},
            "bad_image",
            "beside",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_words(
    sighted: Runtime, given: dict[str, object], error_type: str, limit: str
) -> None:
    error = refused(sighted, **given)
    assert error.error_type == error_type
    assert limit in str(error)


def test_a_prompt_that_does_not_fit_with_its_picture_is_refused(sighted: Runtime) -> None:
    large = as_url(saved(noise(1400, 1400)))
    count = sighted.manifest.capacity // expanded_length((50, 50)) + 1
    if count > 3:
        pytest.skip("this capacity holds more pictures than a request may have")
    error = refused(sighted, text_input="a", image_url_input=[large] * count)
    assert error.error_type == "prompt_too_long"


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"text_input": "a", "max_tokens": 0}, "max_tokens"),
        ({"text_input": "a", "image_url_input": ["http://a.org/x.png"]}, "image_url_input[0]"),
        ({"input_ids": [1]}, "input_ids"),
    ],
)
def test_what_is_known_to_be_bad_is_refused_before_a_picture_is_read(
    sighted: Runtime, given: dict[str, object], field: str
) -> None:
    """The first picture is none; nobody has looked at it."""
    assert refused(sighted, image_bytes_input=["AAAA"], **given).field == field


@pytest.mark.parametrize(
    "given",
    [
        {"text_input": "a", "image_bytes_input": [as_base64(NOISY)]},
        {"text": "a", "instruction": "mend", "image_url_input": [as_url(NOISY)]},
        {"messages": said("a", as_url(NOISY))},
    ],
)
def test_files_are_not_kept_once_they_are_read(sighted: Runtime, given: dict[str, object]) -> None:
    checked = sighted.check(given, lambda chunk: None)
    loaded = sighted.load(checked)
    assert as_base64(NOISY) in repr(checked) and as_base64(NOISY) not in repr(loaded)
    assert len(loaded.params.prompt.images) == 1 and loaded.pictures.tokens == expanded_length(CELLS)


def test_loading_ends_with_the_request(sighted: Runtime) -> None:
    given = {"text_input": "a", "image_bytes_input": [as_base64(saved(noise(77, 50)))], "timeout_ms": 60_000}
    before, checked = sighted.stats(), sighted.check(given, lambda chunk: None)
    with pytest.raises(CancelledError):
        sighted.load(checked, lambda: True)
    with pytest.raises(DeadlineError, match="within the request's timeout"):
        sighted.load(replace(checked, arrived=checked.arrived - 60))
    assert sighted.stats().encoded_pictures == before.encoded_pictures
    assert sighted.load(checked).pictures.tokens


def test_requests_with_one_picture_share_what_the_model_reads(sighted: Runtime) -> None:
    given = {"text_input": "a", "image_bytes_input": [as_base64(NOISY)]}
    first, second = (sighted.load(sighted.check(given, lambda chunk: None)).pictures.loaded[0] for _ in range(2))
    assert first.encoded.features is second.encoded.features
    assert not first.encoded.features.flags.writeable
