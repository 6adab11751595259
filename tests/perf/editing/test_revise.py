"""What is corrupted, and what is counted of it."""

from __future__ import annotations

import numpy as np
from trimode.text.tokenizer import Tokenizer
from trimode_perf.common.prompts import Prompt
from trimode_perf.editing import revise

from tests.support.toy import EOS, MASK, ToyEngine, toy_runtime


def test_a_tenth_of_the_tokens_is_replaced_and_read_as_such(prompts: list[Prompt], tokenizer: Tokenizer) -> None:
    others = revise.any_token(tokenizer, 1800)
    texts = revise.corrupt(prompts, tokenizer, others)
    assert len(texts) > 20 and texts == revise.corrupt(prompts, tokenizer, others)
    for text in texts:
        assert tokenizer.encode(text.text) == text.wrong and len(text.wrong) == len(text.right)
        assert len(text.places) == max(1, round(0.1 * len(text.right)))


def test_plausible_tokens_are_those_the_model_finds_likeliest_beside_the_right_one() -> None:
    engine = ToyEngine()
    runtime = toy_runtime(engine, "<{{ messages[0].content }}>")
    try:
        assert runtime.tokenizer is not None
        asked, answer = runtime.tokenizer.encode("<q>"), runtime.tokenizer.encode("abcé")
        found = revise.plausible(runtime)("q", answer)
    finally:
        runtime.close()
    assert len(found) == len(answer) and not engine._slots
    for at, few in enumerate(found):
        logits = engine.causal_logits([*asked, *answer[:at]])
        ranked = [token for token in np.argsort(-logits).tolist() if token not in (EOS, MASK, answer[at])]
        assert few == ranked[: revise.LIKELIEST]


def test_each_kind_of_corruption_and_the_right_answers_are_asked_in_every_setting() -> None:
    runtime = toy_runtime(ToyEngine(), "<{{ messages[0].content }}>")
    try:
        texts = [revise.Corrupted("q", runtime.tokenizer.encode("abcd"), runtime.tokenizer.encode("abxd"), "abxd")]  # type: ignore[union-attr]
        rows = revise.measure(runtime, {"any": texts, "plausible": texts}, lambda name: None)
    finally:
        runtime.close()
    assert [row["corruption"] for row in rows] == ["any", "plausible", None] * len(revise.SETTINGS)
    assert all(("restored" in row) == (row["corruption"] is not None) for row in rows)


def test_restored_and_harmed_tokens_are_counted_apart() -> None:
    text = revise.Corrupted("q", [1, 2, 3, 4], [1, 9, 3, 9], "")
    assert revise._repaired([text], [[1, 2, 7, 9]]) == {
        "texts": 1, "exact": 0, "wrong_tokens": 2, "restored": 1, "good_tokens": 2, "harmed": 1,
    }  # fmt: skip
    assert revise._spoilt([text], [[1, 2, 3, 5]]) == {"texts": 1, "exact": 0, "good_tokens": 4, "harmed": 1}
