"""Invariants of filling gaps and revising, on the toy engine, beside requests of every other kind."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from trimode.api.answer import Chunk
from trimode.requests.spans import CHARACTER, apply_edits
from trimode.runtime import Runtime
from trimode.triton.arrays import response_arrays

from tests.support.arrays import Array
from tests.support.requests import requests
from tests.support.tokenizers import merging_tokenizer
from tests.support.toy import EOS, MASK, VOCAB, ToyEngine, byte_tokenizer, manifest, running, toy_config, toy_curve

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@st.composite
def windows(draw: st.DrawFn) -> dict[str, Any]:
    block = draw(st.integers(3, 8))
    chosen: dict[str, Any] = {"block_length": block, "seed": draw(st.integers(0, 2**40))}
    if draw(st.booleans()):
        chosen["denoise_steps"] = draw(st.integers(1, block))
    chosen["reveal"] = draw(st.sampled_from(["threshold", "steps", "leftmost", "entropy", "margin"]))
    if draw(st.booleans()):
        chosen["temperature"] = draw(st.floats(0.1, 2))
    return chosen


@st.composite
def gaps(draw: st.DrawFn) -> dict[str, Any]:
    asked = {"return_log_probs": True, "return_candidates": draw(st.booleans()), **draw(windows())}
    size = st.integers(1, 20)
    if draw(st.booleans()):
        holes = st.one_of(st.just({}), st.builds(lambda tokens: {"infill_tokens": tokens}, size))
        parts = draw(st.lists(st.one_of(TEXTS, holes), min_size=1, max_size=5))
        asked["segments"] = [*parts, draw(holes)] if all(isinstance(part, str) for part in parts) else parts
        sizes = [part["infill_tokens"] for part in asked["segments"] if part and not isinstance(part, str)]
        asked["max_tokens"] = max([draw(st.integers(1, 5)), *sizes])
    else:
        asked |= {"text_input": draw(TEXTS), "suffix": draw(TEXTS)}
        some = st.lists(size, min_size=1, max_size=3)
        asked |= draw(st.one_of(
            st.builds(lambda one: {"infill_tokens": one}, size), st.builds(lambda few: {"infill_lengths": few}, some),
            st.builds(lambda most: {"max_tokens": most}, st.integers(1, 9)),
        ))  # fmt: skip
    if draw(st.booleans()):
        asked["instruction"] = draw(TEXTS)
    return asked


@st.composite
def revisions(draw: st.DrawFn) -> dict[str, Any]:
    text = draw(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20))
    asked = {"text": text, "revise_rounds": draw(st.integers(1, 3)), **draw(windows())}
    asked["accept"] = draw(st.sampled_from(["likelihood", "always"]))
    if draw(st.booleans()):
        asked["instruction"] = draw(TEXTS)
    if draw(st.booleans()):
        ends = [0, *(found.end() for found in CHARACTER.finditer(text))]
        asked["spans"] = [sorted(draw(st.sets(st.sampled_from(ends), min_size=2, max_size=2)))]
    rules: list[dict[str, Any]] = [{"revise_threshold": -5.0}, {"revise_fraction": 0.5}]
    rule: dict[str, Any] = draw(st.sampled_from([{}, *rules]))
    return asked | rule


EDITS = st.one_of(gaps(), revisions())
TEMPLATE = "<{{ messages[0].content }}>"


def running_with_template(engine: ToyEngine, **config: int) -> Any:
    return running(engine, template=TEMPLATE, **config)


def pieces_of(asked: dict[str, Any]) -> list[str]:
    """The texts around the gaps."""
    if "segments" not in asked:
        return [asked["text_input"], asked["suffix"]]
    pieces = [""]
    for part in asked["segments"]:
        if isinstance(part, str):
            pieces[-1] += part
        else:
            pieces.append("")
    return pieces


@settings(max_examples=30, deadline=None)
@given(gaps(), st.integers(0, 9), st.integers(1, 40))
def test_the_text_around_gaps_comes_back_whatever_it_is(asked: dict[str, Any], seed: int, chunk: int) -> None:
    engine = ToyEngine(seed=seed)
    with running_with_template(engine, prefill_chunk=chunk) as runtime:
        whole = runtime.generate({**asked, "exclude_input_in_output": False})
        alone = runtime.generate(asked)
    pieces = pieces_of(asked)
    assert alone.fills == whole.fills and len(whole.fills) == len(pieces) - 1
    assert whole.text == pieces[0] + "".join(fill + piece for fill, piece in zip(whole.fills, pieces[1:], strict=True))
    assert whole.text.startswith(pieces[0]) and whole.text.endswith(pieces[-1])
    assert alone.text == "".join(alone.fills)
    assert len(whole.token_ids) == len(whole.log_probs) == whole.counters.output_tokens
    assert not {EOS, MASK} & set(whole.token_ids)


GROWING = merging_tokenizer(
    *(("b", "c"), ("c", "d"), ("e", "f"), ("g", "h"), ("i", "j"), ("cd", "ef"), ("gh", "ij"), ("cdef", "ghij"))
)
"""`b` and `cdefghij` are a token each, and `bcdefghij` four: a text may have more tokens than its parts."""


class Fond(ToyEngine):
    """Fills blocks with one token if it can."""

    def __init__(self, token: int, seed: int) -> None:
        super().__init__(seed=seed)
        self.manifest = manifest(capacity=64, vocab_size=VOCAB + 8)
        self.token = token

    def _block_logits(self, past: list[int], tokens: list[int], at: int, answer: list[int]) -> Array:
        logits = super()._block_logits(past, tokens, at, answer)
        logits[self.token] += 20
        return logits


@settings(max_examples=60, deadline=None)
@given(
    st.text("bcdj", max_size=6),
    st.lists(st.sampled_from(["cdefghij", "j", "b"]), max_size=12),
    st.sampled_from([*GROWING.encode("b"), *GROWING.encode("c"), *GROWING.encode("cdefghij")]),
    st.integers(1, 6),
    st.integers(3, 8),
)
@example("", ["cdefghij"] * 12, *GROWING.encode("b"), 1, 8)
def test_what_just_fits_the_capacity_is_filled(end: str, after: list[str], fond: int, size: int, block: int) -> None:
    engine = Fond(fond, size)
    room = engine.manifest.capacity - block - size
    left = "x" * (room - len(GROWING.encode(end))) + end
    assert len(GROWING.encode(left)) == room
    runtime = Runtime(engine, GROWING, toy_config(), curve=toy_curve())
    asked = {"text_input": left, "suffix": "".join(after), "infill_tokens": size, "block_length": block}
    try:
        answer = runtime.generate({**asked, "return_candidates": True})
    finally:
        runtime.close()
    assert answer.finish_reason == "stop"


@settings(max_examples=30, deadline=None)
@given(gaps())
@example(
    {
        "segments": ["10n", {}, {"infill_tokens": 19}, {"infill_tokens": 6}, {}],
        "max_tokens": 19,
        "block_length": 5,
        "seed": 152,
        "temperature": 1.375,
        "instruction": "1080",
        "reveal": "threshold",
    }
)  # at the end of the model's turn a text written from left to right was longer than max_tokens
def test_a_gap_has_a_size_that_was_asked_for_and_the_best_score(asked: dict[str, Any]) -> None:
    with running_with_template(ToyEngine()) as runtime:
        answer = runtime.generate({**asked, "return_candidates": True})
    at, encode = 0, byte_tokenizer().encode
    sized = asked.get("infill_lengths") or ([asked["infill_tokens"]] if "infill_tokens" in asked else [])
    holes = [part for part in asked.get("segments", [{}]) if not isinstance(part, str)]
    for tried, fill, hole in zip(answer.candidates, answer.fills, holes, strict=True):
        sizes = sized or list(hole.values())
        exact = [one for one in tried if len(encode(one.text)) in sizes]
        best = max(exact or tried, key=lambda one: (-1e9 if one.score is None else one.score, -one.size))
        if exact or not sizes:
            assert best.text == fill
        assert 1 <= best.size <= max(asked.get("max_tokens", 0), 20)
        at += best.size
    assert at == len(answer.token_ids)
    if "infill_lengths" in asked:
        assert [one.size for one in answer.candidates[0]] == sorted(set(asked["infill_lengths"]))


@settings(max_examples=30, deadline=None)
@given(revisions(), st.integers(0, 9))
def test_the_edits_made_to_the_text_give_the_answer(asked: dict[str, Any], seed: int) -> None:
    engine = ToyEngine(seed=seed, hit=0.2)
    engine_of = {"prefill_chunk": 5}
    with running_with_template(engine, **engine_of) as runtime:
        answer = runtime.generate(asked)
    assert apply_edits(asked["text"], answer.edits) == answer.text
    if "spans" in asked:
        ((start, end),) = asked["spans"]
        assert all(start <= edit.start < edit.end <= end for edit in answer.edits)
    assert answer.counters.output_tokens == len(answer.token_ids)


PAIRS = [("a", "b"), ("Ġ", "c"), ("Ã", "©"), ("c", "Ã"), ("Ġc", "ab"), ("ab", "c"), ("b", "Ġ"), ("©", "a")]
WORDY = merging_tokenizer(*PAIRS)
"""Tokens of several characters, and some that hold a part of one."""


@settings(max_examples=80, deadline=None)
@given(
    st.text("abc é🙂", min_size=1, max_size=20),
    st.data(),
    st.integers(0, 9),
    st.sampled_from([{"temperature": 1.5}, {"reveal": "margin"}, {"reveal": "entropy"}, {"revise_rounds": 3}, {}]),
)
def test_what_is_outside_the_spans_is_never_changed(
    text: str, data: st.DataObject, seed: int, more: dict[str, Any]
) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), min_size=2, max_size=6)))
    spans = list(zip(cuts[::2], cuts[1::2], strict=False))
    engine = ToyEngine(seed=seed, hit=0.2)
    engine.manifest = manifest(vocab_size=VOCAB + len(PAIRS))
    runtime = Runtime(engine, WORDY, toy_config(), curve=toy_curve())
    try:
        answer = runtime.generate({"text": text, "spans": spans, "accept": "always", "seed": seed, **more})
    finally:
        runtime.close()
    assert answer.text == apply_edits(text, answer.edits) == WORDY.decode_whole(answer.token_ids)
    inside = {at for start, end in spans for at in range(start, end)}
    assert all(set(range(edit.start, edit.end)) <= inside for edit in answer.edits)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(st.lists(st.one_of(EDITS, requests()), min_size=2, max_size=6), st.integers(1, 4), st.integers(1, 9))
def test_an_answer_does_not_depend_on_its_neighbours(asked: list[dict[str, Any]], slots: int, chunk: int) -> None:
    asked = [{"seed": 7, **one} for one in asked]
    with running_with_template(ToyEngine(eos_rate=0.03)) as runtime:
        alone = [runtime.generate(one) for one in asked]
    together: dict[int, Chunk] = {}
    engine = ToyEngine(eos_rate=0.03)
    with running_with_template(engine, max_slots=slots, max_queue=999, prefill_chunk=chunk) as runtime:
        done = threading.Semaphore(0)
        for number, one in enumerate(asked):

            def sink(chunk: Chunk, number: int = number) -> None:
                assert number not in together
                together[number] = chunk
                done.release()

            runtime.submit(one, sink)
        for _ in asked:
            assert done.acquire(timeout=30)
    assert not engine._slots
    for number, one in enumerate(alone):
        other = together[number]
        assert other.error is None
        assert (other.token_ids, other.text, other.fills, other.edits) == (
            one.token_ids,
            one.text,
            one.fills,
            one.edits,
        )
        assert (other.candidates, other.log_probs) == (one.candidates, one.log_probs)


@settings(max_examples=25, deadline=None)
@given(EDITS)
def test_counters_add_up(asked: dict[str, Any]) -> None:
    engine = ToyEngine()
    with running_with_template(engine, max_slots=1) as runtime:
        counts = runtime.generate(asked).counters
    assert counts.prefill_forwards + counts.forwards == engine.calls
    assert sum(row.keep for row in engine.rows) == (
        counts.prefill_forwards + counts.verify_forwards + counts.commit_forwards + counts.score_forwards
    )


@settings(max_examples=25, deadline=None)
@given(EDITS)
def test_every_answer_can_be_sent(asked: dict[str, Any]) -> None:
    wanted = {name: True for name in ("return_perf_metrics", "return_effective_params", "return_num_output_tokens")}
    chunks: list[Chunk] = []
    done = threading.Event()
    with running_with_template(ToyEngine()) as runtime:

        def sink(chunk: Chunk) -> None:
            chunks.append(chunk)
            done.set()

        params = runtime.submit({**asked, **wanted, "stream": True}, sink).params
        assert done.wait(30)
    (chunk,) = chunks
    arrays = response_arrays(chunk, params, sum(chunk.log_probs))
    assert arrays["text_output"][0].decode() == chunk.text
    assert arrays["num_output_tokens"].tolist() == [chunk.counters.output_tokens]
    assert json.loads(arrays["effective_params"][0])["seed"] == asked["seed"]
    if "text" in asked:
        assert [one["after"] for one in json.loads(arrays["edits"][0])] == [edit.after for edit in chunk.edits]
    else:
        assert [fill.decode() for fill in arrays["fills"]] == chunk.fills
