"""The page's own reading of a stream, answer.js in Node.js: passes that come together are the steps they were."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from typing import Any

import pytest
from trimode.api.answer import Chunk
from trimode.api.defaults import Defaults
from trimode.api.params import GenerationParams
from trimode.scheduling import delivery
from trimode.server.playground.files import STATIC
from trimode.triton.arrays import response_arrays

from tests.support.toy import EOS, VOCAB, ToyEngine, toy_runtime

READ = """
const taken = (events) => {
  const answer = new Answer("");
  const splitter = new Splitter();
  let most = 0;
  for (const event of events) for (const part of splitter.split(event)) {
    const before = answer.steps.length;
    answer.take(part, 0);
    most = Math.max(most, answer.steps.length - before);
  }
  const steps = answer.steps.map(({ seconds, ...step }) => step);
  return { text: answer.text, tokens: answer.tokens, tail: answer.tail, done: answer.done, steps, most };
};
console.log(JSON.stringify(RECORDINGS.map(taken)));
"""
TOGETHER = (2, 3, 64)
"""Passes that a response may have."""
MODES: list[dict[str, Any]] = [
    {"mode": "diffusion", "denoise_steps": 4},
    {"mode": "diffusion", "denoise_steps": 2, "revise_rounds": 2},
    {"mode": "diffusion", "stop_words": ["e", "xyz"]},
    {"mode": "self_speculation"},
    {"mode": "self_speculation", "denoise_steps": 3},
    {"mode": "self_speculation", "speculation": "quadratic"},
]


def event(chunk: Chunk, params: GenerationParams) -> dict[str, Any]:
    """A chunk as Triton writes it over HTTP: a tensor of one element as itself."""
    arrays = response_arrays(chunk, params, 0.0)
    lists = {n: [v.decode() if isinstance(v, bytes) else v for v in a.tolist()] for n, a in arrays.items()}
    return {name: values[0] if len(values) == 1 else values for name, values in lists.items()}


def recorded(**given: Any) -> list[dict[str, Any]]:
    asked = {"input_ids": [5, 6], "seed": 4, "max_tokens": 50, "stream": True, "stream_provisional": True, **given}
    asked |= {"return_token_ids": True, "return_num_output_tokens": True}
    params = GenerationParams.parse(asked, Defaults(VOCAB, 8, EOS))
    runtime, chunks, done = toy_runtime(ToyEngine(eos_rate=0.01)), list[Chunk](), threading.Event()

    def sink(chunk: Chunk) -> None:
        chunks.append(chunk)
        if chunk.last:
            done.set()

    try:
        runtime.submit(asked, sink)
        assert done.wait(60)
    finally:
        runtime.close()
    return [event(chunk, params) for chunk in chunks]


@pytest.mark.subprocess
@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node here: install Node.js 20 or newer")
def test_steps_are_the_same_however_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    recordings = [recorded(**knobs) for knobs in MODES]
    for most in TOGETHER:
        monkeypatch.setattr(delivery, "MOST_PASSES", most)
        recordings += [recorded(**knobs, stream_interval_ms=10**9) for knobs in MODES]
    program = (STATIC / "answer.js").read_text(encoding="utf-8")
    program += READ.replace("RECORDINGS", json.dumps(recordings))
    done = subprocess.run(["node", "--input-type=module"], input=program, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    singles = answers[: len(MODES)]
    for events, answer in zip(recordings, singles, strict=False):
        assert answer["text"] == "".join(one["text_output"] for one in events) and answer["done"]
        shown = [step for step in answer["steps"] if step["kind"] == "denoise"]
        assert len(shown) == sum("provisional" in one for one in events) > 3
        assert answer["most"] == 1, "each step can be seen for itself"
    assert answers == singles * (1 + len(TOGETHER))
