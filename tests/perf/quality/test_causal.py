"""What is counted of a checkpoint that was not trained to denoise, on nano's bundles: any causal pass will do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trimode_perf.common import NANO, QUESTIONS
from trimode_perf.quality import causal
from trimode_perf.quality.causal import Apart, Text

SCORED = [Text("prose", "Bread is made of flour and water. " * 40), Text("code", "import os\n\nprint(os.name)\n")]


@pytest.mark.subprocess  # renders the chat template in another process
def test_every_kind_of_text_is_scored_in_each_precision(bundle_of: Callable[..., Path]) -> None:
    bundles = {precision: bundle_of(NANO, precision) for precision in ("float32", "int8", "int4")}
    seen: list[str] = []
    found = causal.measure(bundles, SCORED, QUESTIONS, seen.append)
    assert {kind: list(by) for kind, by in found["perplexity"].items()} == {
        "prose": ["float32", "int8", "int4"], "code": ["float32", "int8", "int4"]
    }  # fmt: skip
    prose = found["perplexity"]["prose"]["float32"]
    assert 300 < prose["tokens"] < causal.WINDOW  # more than one pass
    assert prose["perplexity"] > 1
    for precision in ("int8", "int4"):
        assert found[precision]["rows"] == prose["tokens"] + found["perplexity"]["code"]["float32"]["tokens"]
        assert 0 < found[precision]["relative_rms"] < 0.3
        assert found[precision]["answers"]["asked"] == 16
    assert seen.count("answers") == 48
    text = causal.text(found)
    assert f"| prose | {prose['tokens']:,} | {prose['perplexity']:.2f} (" in text
    alone = causal.measure({"float32": bundles["float32"]}, SCORED[1:], QUESTIONS)
    assert not {"int8", "int4"} & set(alone)
    assert "against float32" not in causal.text(alone)
    assert causal.claims(alone) == []


def test_logits_that_differ_by_a_rows_mean_are_the_same() -> None:
    apart, rng = Apart(), np.random.default_rng(0)
    theirs = rng.normal(size=(4, 9)).astype(np.float32)
    apart.add(theirs + np.float32(3.0), theirs)
    assert apart.figures() == {"rows": 4, "relative_rms": 0.0, "same_best_token": 1.0}
    apart.add(-theirs, theirs)
    assert apart.figures()["same_best_token"] == 0.5


def test_texts_are_pages_of_this_repository_and_problems() -> None:
    kinds = [text.kind for text in causal.texts(3)]
    assert kinds == ["prose"] * 4 + ["code"] * 4 + [causal.HUMAN_EVAL] * 3


@pytest.mark.parametrize(("precision", "little", "much"), [("int8", 10.1, 10.3), ("int4", 12.9, 13.1)])
def test_fewer_bits_may_add_little_to_the_perplexity(precision: str, little: float, much: float) -> None:
    found: dict[str, Any] = {
        "perplexity": {
            kind: {"float32": {"perplexity": 10.0}, precision: {"perplexity": value}}
            for kind, value in (("prose", little), ("code", much))
        }
    }
    assert [claim.holds for claim in causal.claims(found)] == [True, False]
