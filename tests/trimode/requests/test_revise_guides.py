"""A text that is revised and must stay what it is: changes that would break it are not kept."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from trimode.errors import RequestError
from trimode.runtime import Runtime

from tests.support.toy import ToyEngine, running

pytestmark = pytest.mark.subprocess

TEXT = '{"name": "Anna Rossi", "age": 42, "tags": ["one", "two"]}'
ALL = {"revise_fraction": 1.0, "revise_rounds": 3, "accept": "always"}


@pytest.fixture(scope="module")
def runtime() -> Iterator[Runtime]:
    with running(ToyEngine()) as made:
        yield made


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_revised_object_is_still_one(runtime: Runtime, temperature: float) -> None:
    edits = 0
    for seed in range(4):
        asked = {"text": TEXT, "guided_decoding_guide_type": "json", "temperature": temperature, "seed": seed, **ALL}
        answer = runtime.generate(asked)
        assert isinstance(json.loads(answer.text), dict)
        edits += len(answer.edits)
    assert edits > 0, "changes that break nothing are kept"


def test_without_a_form_the_same_text_breaks(runtime: Runtime) -> None:
    with pytest.raises(ValueError):
        json.loads(runtime.generate({"text": TEXT, "seed": 0, **ALL}).text)


def test_a_text_that_does_not_match_is_refused(runtime: Runtime) -> None:
    with pytest.raises(RequestError, match="text must match its json"):
        runtime.generate({"text": '{"a":  1}', "guided_decoding_guide_type": "json"})


def test_the_rule_that_leaves_gaps_stays(runtime: Runtime) -> None:
    asked = {"text": TEXT, "guided_decoding_guide_type": "json", "reveal": "entropy"}
    assert runtime.check(asked, print).params.echo()["reveal"] == "entropy"
