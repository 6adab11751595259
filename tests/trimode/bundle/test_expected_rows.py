"""expected.json: what is written is what is read, and a file that does not fit its bundle is refused."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from trimode.bundle.expected_rows import ExpectedPass, ExpectedPicture, ExpectedRows, noise
from trimode.bundle.manifest import EXPECTED, Manifest
from trimode.errors import BundleError

from tests.support.expecting import write
from tests.support.pictures import FACTS
from tests.support.toy import manifest

ONE = ExpectedPass(
    "block",
    (5, 1, 2),
    7,
    causal=False,
    keep=False,
    adapter=True,
    want=(0, 2),
    ids=((3, 4), (4, 9)),
    logits=((0.5, -1), (2, 3)),
)
ROWS = ExpectedRows(0.05, (ONE, ONE))


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    manifest().save(tmp_path)
    return tmp_path


def load(bundle: Path) -> ExpectedRows | None:
    return ExpectedRows.load(bundle, Manifest.load(bundle))


def test_what_is_written_is_read(bundle: Path) -> None:
    assert load(bundle) is None
    write(bundle, ROWS.to_json())
    assert load(bundle) == ROWS
    assert len(ROWS.to_json().splitlines()) == 4, "a line a pass"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda raw: raw.pop("tolerance"),
        lambda raw: raw["passes"][0].pop("start"),
        lambda raw: raw["passes"][0].update(other=1),
        lambda raw: raw["passes"][0].update(tokens=[5, 1, 99_999]),
        lambda raw: raw["passes"][0].update(tokens=[5, 1, -1]),
        lambda raw: raw["passes"][0].update(start=510),
        lambda raw: raw["passes"][0].update(want=[0]),
        lambda raw: raw["passes"][0].update(want=[0, 3]),
        lambda raw: raw["passes"][0].update(ids=[[3], [4, 9]]),
        lambda raw: raw["passes"][0].update(ids=[], logits=[], want=[]),
        lambda raw: raw["passes"][0].update(ids=[[3], [4, 9]], logits=[[1], [2, 3]]),
        lambda raw: raw["passes"][0].update(ids=[[], []], logits=[[], []]),
        lambda raw: raw.update(passes=None),
    ],
)
def test_what_does_not_fit_is_refused(bundle: Path, spoil: Callable[[Any], object]) -> None:
    raw = json.loads(ROWS.to_json())
    spoil(raw)
    write(bundle, json.dumps(raw).encode())
    with pytest.raises(BundleError, match=re.escape(f"{bundle / EXPECTED} is damaged, or of another bundle")):
        load(bundle)


def test_text_that_is_no_json_is_refused(bundle: Path) -> None:
    write(bundle, b"\xff{")
    with pytest.raises(BundleError, match="is damaged"):
        load(bundle)


# Pictures

SEEN = ExpectedPicture(2, 1, seed=3, cells=(0, 1), channels=(0, 2), values=((0.5, -1), (2, 3)))


@pytest.fixture
def seeing(tmp_path: Path) -> Path:
    dataclasses.replace(manifest(), runtime="torch", vision=FACTS, hidden_size=4).save(tmp_path)
    return tmp_path


def test_pictures_are_read_as_they_were_written(seeing: Path) -> None:
    rows = dataclasses.replace(ROWS, pictures=(SEEN, SEEN))
    write(seeing, rows.to_json())
    assert load(seeing) == rows
    assert len(rows.to_json().splitlines()) == 7, "a line a pass and a picture"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda raw: raw.update(pictures=5),
        lambda raw: raw["pictures"][0].pop("seed"),
        lambda raw: raw["pictures"][0].update(down=0),
        lambda raw: raw["pictures"][0].update(across=FACTS.side // FACTS.merge + 1),
        lambda raw: raw["pictures"][0].update(cells=[0, 2]),
        lambda raw: raw["pictures"][0].update(cells=[-1, 1]),
        lambda raw: raw["pictures"][0].update(cells=[0]),
        lambda raw: raw["pictures"][0].update(cells=[], values=[]),
        lambda raw: raw["pictures"][0].update(channels=[0, 10**6]),
        lambda raw: raw["pictures"][0].update(channels=[], values=[[], []]),
    ],
)
def test_pictures_that_do_not_fit_are_refused(seeing: Path, spoil: Callable[[Any], object]) -> None:
    raw = json.loads(dataclasses.replace(ROWS, pictures=(SEEN,)).to_json())
    spoil(raw)
    write(seeing, json.dumps(raw).encode())
    with pytest.raises(BundleError, match="is damaged, or of another bundle"):
        load(seeing)


def test_a_bundle_that_reads_text_alone_expects_no_pictures(bundle: Path) -> None:
    write(bundle, dataclasses.replace(ROWS, pictures=(SEEN,)).to_json())
    with pytest.raises(BundleError, match="is damaged, or of another bundle"):
        load(bundle)


def test_noise_is_the_same_on_every_machine() -> None:
    assert noise(1, 3) == [0.055477142333984375, -1.2970352172851562, -0.7653961181640625]
    values = noise(2, 4000)
    assert -2 <= min(values) < -1.99 and 1.99 < max(values) < 2
    assert abs(sum(values)) < 0.05 * len(values)
