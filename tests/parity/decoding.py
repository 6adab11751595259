"""Runs one case of a parity kit through the modes, pass by pass, and records what the kit records."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any

from trimode.api.answer import Chunk
from trimode.api.defaults import Defaults
from trimode.api.params import GenerationParams
from trimode.bundle.manifest import Manifest
from trimode.config import ServerConfig
from trimode.decoding.modes import registry as modes
from trimode.decoding.sequence import Phase, SequenceState
from trimode.engines.base import Engine
from trimode.runtime import Runtime
from trimode.vision.encoded import PromptPictures

MODES = {
    "ar": "autoregressive",
    "diffusion": "diffusion",
    "linear_spec": "self_speculation",
    "quadratic": "self_speculation",
}


@dataclass
class Record:
    tokens: list[int]
    forwards: int
    trace: list[dict[str, Any]] = field(default_factory=list)


def load_cases(kit: Path, file: str = "cases.json") -> list[dict[str, Any]]:
    return list(json.loads((kit / file).read_text()))


def request_of(case: dict[str, Any], row: int, manifest: Manifest) -> dict[str, object]:
    """Return the wire fields that ask for row `row` of `case`."""
    params = case["params"]
    given: dict[str, object] = {
        "input_ids": case["prompt_ids"][row],
        "mode": MODES[case["mode"]],
        "max_tokens": params["max_new_tokens"],
        "end_id": manifest.eos_token_id if params["eos_token_id"] is None else params["eos_token_id"],
        "max_thinking_tokens": params.get("max_thinking_tokens"),
        "end_think_token_id": params.get("end_think_token_id"),
    }
    if len(case["prompt_ids"]) > 1:
        given["end_id"] = -1  # the reference ends a batch as one; see batch_end
    if case["mode"] == "quadratic":
        given |= {"speculation": "quadratic", "block_length": params["block_length"]}
    elif case["mode"] != "ar":
        given |= {"block_length": params["block_length"], "threshold": params["threshold"]}
    if case["mode"] == "diffusion" and params.get("steps") is not None:  # of the whole answer, a share for each block
        length = params["block_length"]
        given["denoise_steps"] = min(length, params["steps"] // (params["max_new_tokens"] // length))
    return given


def parameters_of(case: dict[str, Any], row: int, manifest: Manifest) -> GenerationParams:
    """Return row `row` of `case` as a checked request that follows the released loop to the letter."""
    defaults = Defaults(manifest.vocab_size, manifest.block_size, manifest.eos_token_id)
    return GenerationParams.parse(request_of(case, row, manifest), defaults, reference=True)


def sequence_of(
    engine: Engine, case: dict[str, Any], row: int, pictures: PromptPictures | None = None
) -> SequenceState:
    """Return row `row` of `case` as a sequence in a slot of `engine`, following the released loop to the letter."""
    manifest = engine.manifest
    params = parameters_of(case, row, manifest)
    adapter = case.get("lora", False)
    seq = SequenceState(params, list(case["prompt_ids"][row]), manifest.mask_token_id, adapter, pictures=pictures)
    seq.slot = engine.allocate(block=False)
    return seq


def batch_end(rows: list[list[int]], eos: int) -> int:
    """Return after how many tokens the reference ends an autoregressive batch: when all rows give EOS at once."""
    for step, column in enumerate(zip(*rows, strict=True)):
        if all(token == eos for token in column):
            return step + 1
    return len(rows[0])


def run_row(engine: Engine, case: dict[str, Any], row: int, pictures: PromptPictures | None = None) -> Record:
    """Decode one row of `case` on `engine` by itself."""
    seq = sequence_of(engine, case, row, pictures)
    trace: list[dict[str, Any]] = []
    try:
        while not seq.done:
            phase, before = seq.phase, len(seq.tokens)
            drafted = seq.current.tokens.tolist() if phase is Phase.VERIFY else []
            plan = modes.plan(seq, prefill_chunk=1 << 20)
            result = engine.run([plan])[0]
            verified = result.logits.argmax(axis=-1).tolist() if phase is Phase.VERIFY else []
            block = seq.block
            modes.apply(seq, plan, result)
            if phase is Phase.DENOISE:
                assert block is not None
                trace[-1]["steps"].append(block.tokens.tolist())
            elif phase is Phase.DRAFT:
                trace[-1]["draft_passes"] += 1
            elif phase is Phase.VERIFY:
                agree = [drafted[i + 1] == verified[i] for i in range(len(drafted) - 1)]
                accepted = agree.index(False) + 1 if False in agree else len(drafted)
                trace[-1] |= {"draft": drafted, "verify": verified, "accepted": accepted}
                assert len(seq.tokens) - before <= accepted
            if seq.phase is Phase.DENOISE and seq.block is not block:
                trace.append({"start": seq.current.tokens.tolist(), "steps": []})
            if seq.phase is Phase.DRAFT and seq.block is not block:
                trace.append({"draft_passes": 0})
    finally:
        engine.free(seq.slot)
    counters = seq.counters
    forwards = len(seq.tokens) if case["mode"] == "ar" else counters.forwards + (case["mode"] == "linear_spec")
    return Record(list(seq.tokens), forwards, trace)


def check_at_once(bundle: Path, cases: list[dict[str, Any]]) -> type[Engine]:
    """Hold all rows of cases of one checkpoint, submitted together, to their ids; return the kind of the engine."""
    runtime = Runtime.open(ServerConfig(bundle=bundle, threads=1, max_slots=8, max_queue=999))
    answers: dict[tuple[str, int], Chunk] = {}
    expected: dict[tuple[str, int], list[int]] = {}
    try:
        for case in cases:
            for row, tokens in enumerate(case["expected_output_ids"]):
                key = (case["id"], row)
                expected[key] = tokens[: case["params"]["max_new_tokens"]]
                given = request_of(case, row, runtime.manifest)
                runtime.submit(given, partial(answers.__setitem__, key), reference=True)
        runtime.close(grace_seconds=120)
    finally:
        runtime.close()
    assert {key: chunk.token_ids[: len(expected[key])] for key, chunk in answers.items()} == expected
    return type(runtime.engine)


def check_case(engine: Engine, case: dict[str, Any], pictures: PromptPictures | None = None) -> None:
    """Decode all rows of `case` on `engine`; ids, forwards and traces must be the reference's."""
    records = [run_row(engine, case, row, pictures) for row in range(len(case["prompt_ids"]))]
    tokens = [record.tokens for record in records]
    forwards = max(record.forwards for record in records)
    if len(records) > 1 and case["mode"] == "ar":
        forwards = batch_end(tokens, engine.manifest.eos_token_id)
        tokens = [row[:forwards] for row in tokens]
    limit = case["params"]["max_new_tokens"]
    assert tokens == [row[:limit] for row in case["expected_output_ids"]]
    traces = [record.trace for record in records]
    if case["mode"] == "linear_spec":
        assert traces[0] == case["trace"]
    if case["mode"] == "diffusion":
        # The reference steps a batch until its last row is done: a block costs as many passes as its slowest row.
        forwards = 0
        for number, block in enumerate(case["trace"]):
            blocks = [trace[number] for trace in traces]
            assert [own["start"] for own in blocks] == block["start"]
            steps = list(zip_longest(*(own["steps"] for own in blocks)))
            filled = [
                [own["steps"][-1] if s is None else s for own, s in zip(blocks, step, strict=True)] for step in steps
            ]
            assert filled == block["steps"]
            forwards += len(steps) + 1
    assert forwards == case["expected_nfe"]
