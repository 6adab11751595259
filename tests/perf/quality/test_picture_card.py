"""What the card says of a checkpoint that reads pictures, and the claims about them."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from trimode_perf.quality import card, claims, picture_card, settings
from trimode_perf.quality.pictures import Scope

ASKED = 100
TOWER = {"num_hidden_layers": 3, "hidden_size": 96, "num_attention_heads": 3, "head_dim": 32}
CONFIG = {"vision_config": {**TOWER, "intermediate_size": 256, "patch_size": 14}}


def counted(exact: int, same: int = ASKED) -> dict[str, Any]:
    return {
        "asked": ASKED, "exact": exact, "same_as_autoregressive": same, "tokens": 400, "forwards": 200, "cycles": 100,
    }  # fmt: skip


@pytest.fixture
def seeing(results: dict[str, Any]) -> dict[str, Any]:
    """Results in which everything holds of a checkpoint that reads all but one of the domains."""
    scope = Scope.of({})
    names = [task.name for task in scope.tasks]
    runs: list[dict[str, Any]] = []
    for blank in (False, True):
        for setting in settings.on_pictures(True):
            domains = {name: counted(10 if blank else 95) for name in names}
            domains["unseen_word"] = counted(0 if blank else 89)
            runs.append({**asdict(setting), "blank": blank, "domains": domains})
    asked = {**asdict(scope), "per_domain": ASKED, "max_tokens": 48}
    model = {"of": "nano", "tensors": 57, "equal": 57, "accuracy": 0.992}
    chance = dict.fromkeys(names, 0.1)
    results["pictures"] = {"asked": asked, "chance": chance, "language_model": model, "runs": runs}
    claims.conclude(results)
    return results


def of(results: dict[str, Any], word: str) -> dict[str, Any]:
    """Return the one claim that has a word."""
    (found,) = [claim for claim in results["claims"] if word in claim["claim"]]
    return dict(found)


def test_everything_that_must_hold_of_pictures_can_hold(seeing: dict[str, Any]) -> None:
    assert [claim.holds for claim in claims.held(seeing)] == [True] * 12
    assert claims.reads(seeing) == ["number", "word", "shape", "count", "place", "chart", "receipt"]


def test_a_domain_is_claimed_by_what_autoregressive_reads(seeing: dict[str, Any]) -> None:
    for run in seeing["pictures"]["runs"]:
        for name in ("number", "word", "shape", "place"):
            if run["mode"] == "autoregressive" and not run["blank"]:
                run["domains"][name]["exact"] = 89
    claims.conclude(seeing)
    found = of(seeing, "picture domains")
    assert not found["holds"] and found["measured"] == "3: count, chart, receipt"


@pytest.mark.parametrize(("right", "holds"), [(20, True), (21, False)])
def test_what_is_right_without_a_picture_must_be_chance(seeing: dict[str, Any], right: int, holds: bool) -> None:
    for run in seeing["pictures"]["runs"]:
        if run["blank"] and run["mode"] == "diffusion":
            run["domains"]["chart"]["exact"] = right  # 10 by chance, 9 for three standard errors, and one more
    claims.conclude(seeing)
    found = of(seeing, "blank picture")
    assert found["holds"] == holds and found["measured"] == f"above it: {'none' if holds else 'chart'}"


@pytest.mark.parametrize("speculation", ["linear", "quadratic"])
def test_drafts_must_not_change_an_answer(seeing: dict[str, Any], speculation: str) -> None:
    for run in seeing["pictures"]["runs"]:
        if run["mode"] == "self_speculation" and run["speculation"] == speculation:
            run["domains"]["shape"]["same_as_autoregressive"] = ASKED - 1
    claims.conclude(seeing)
    found = of(seeing, "quadratic")
    assert not found["holds"] and found["measured"] == "3198 of 3200 answers"


def test_a_checkpoint_that_sees_is_small(seeing: dict[str, Any]) -> None:
    seeing["checkpoint"]["megabytes"] = 24.1
    assert not next(claim for claim in claims.check(seeing) if "24 MB" in claim["claim"])["holds"]


def test_the_card_has_the_pictures(seeing: dict[str, Any], checkpoint: Path) -> None:
    config = json.loads((checkpoint / "config.json").read_text())
    (checkpoint / "config.json").write_text(json.dumps({**config, **CONFIG}))
    page = card.text(checkpoint, seeing)
    assert "{{" not in page and "}}" not in page
    assert "tiny, image-text-to-text]" in page
    assert "| tower | 3 layers, 96 wide, 3 heads of 32, MLP 256, patches of 14 x 14 pixels |" in page
    assert "- a number of up to 5 digits\n" in page
    assert "| number | 10% | 95% (10%), 2.0 |" in page
    assert "| unseen_word (not claimed) | 10% | 89% (0%), 2.0 |" in page
    assert "(`unseen_word`): exact 89% in ar" in page
    assert "nano's, bit for bit (57 tensors)" in page


def test_what_is_not_read_is_listed_in_the_order_of_the_domains(seeing: dict[str, Any]) -> None:
    for run in seeing["pictures"]["runs"]:
        for counts in run["domains"].values():
            counts["exact"] = 0
    section = picture_card.parts(seeing, CONFIG, card.WORDS)["picture_section"]
    places = [section.index(f"(`{task.name}`): exact 0%") for task in Scope.of({}).tasks]
    assert places == sorted(places) and "- nothing well enough" in section


def test_the_card_says_how_much_of_the_language_model_was_trained_further(seeing: dict[str, Any]) -> None:
    seeing["pictures"]["language_model"]["equal"] = 3
    section = picture_card.parts(seeing, CONFIG, card.WORDS)["picture_section"]
    assert "Of the 57 tensors of nano's language model 3 are the same here, bit for bit" in section


def test_a_card_of_text_alone_has_no_word_about_pictures(results: dict[str, Any]) -> None:
    assert set(picture_card.parts(results, {}, card.WORDS).values()) == {""}


def test_every_picture_domain_has_words() -> None:
    assert {task.name for task in Scope.of({}).tasks} == set(card.WORDS["pictures"])
