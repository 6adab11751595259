"""The pictures of a kit, prepared and encoded as a request's are, and the rows that a case's prompt takes from them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from trimode.api.answer import Chunk
from trimode.bundle.vision_facts import VisionFacts
from trimode.decoding.sequence import SequenceState
from trimode.engines.base import Floats
from trimode.engines.onnx.tower import OnnxRuntimeTower
from trimode.runtime import Runtime
from trimode.scheduling.job import Job
from trimode.text.answer_text import AnswerText
from trimode.vision.encoded import PromptPictures
from trimode.vision.encoder import Encoder
from trimode.vision.picture import Picture, prepare

from tests.parity.decoding import parameters_of

DEFAULT_SIZE = 1400  # pixels of the longer side, where a case says nothing
BUDGET = 2**26  # bytes of encoded pictures: all of the kit's


@lru_cache(maxsize=64)
def prepared(kit: Path, name: str) -> Picture:
    """Return the picture IMAGE@SIZE of a kit."""
    image, _, size = name.partition("@")
    return prepare((kit / "images" / f"{image}.png").read_bytes(), int(size))


def names_of(case: dict[str, Any]) -> list[str]:
    """Return the pictures of a case's prompt, in order, as IMAGE@SIZE."""
    pictures = [part for part in case["prompt"] if isinstance(part, dict)]
    return [f"{one['image']}@{one['max_image_size'] or DEFAULT_SIZE}" for one in pictures]


def encoder_of(bundle: Path, facts: VisionFacts) -> Encoder:
    return Encoder(OnnxRuntimeTower.open(bundle, threads=1), facts, bundle.name, BUDGET)


def pictures_of(kit: Path, case: dict[str, Any], encoder: Encoder) -> PromptPictures | None:
    """Return what stands for pictures in a case's prompt."""
    names = names_of(case)
    return rows_in(kit, case["prompt_ids"][0], names, encoder) if names else None


def rows_in(kit: Path, prompt: Sequence[int], names: Sequence[str], encoder: Encoder) -> PromptPictures:
    """Return what stands for the pictures IMAGE@SIZE in an expanded prompt; there must be one."""
    found = PromptPictures.of(prompt, encoder.facts.pad, encoder.encode([prepared(kit, name) for name in names]))
    assert found is not None
    return found


def by_rows(values: Floats, across: int, merge: int) -> Floats:
    """Return values of patches that are in the order of cells, (n, size), row by row."""
    width, size = across * merge, values.shape[-1]
    cells = values.reshape(-1, across, merge, merge, size)
    return np.ascontiguousarray(cells.transpose(0, 2, 1, 3, 4)).reshape(-1, width, size).reshape(-1, size)


def answered_together(runtime: Runtime, kit: Path, cases: list[dict[str, Any]], seconds: float) -> dict[str, list[int]]:
    """Submit all cases at once and close the runtime when they have ended; return the ids of each, by its id."""
    answers: dict[str, list[Chunk]] = {case["id"]: [] for case in cases}
    encoder = runtime.services.encoder
    assert encoder is not None
    try:
        for case in cases:
            seq = SequenceState(
                parameters_of(case, 0, runtime.manifest),
                list(case["prompt_ids"][0]),
                runtime.manifest.mask_token_id,
                pictures=pictures_of(kit, case, encoder),
            )
            job = Job(seq, AnswerText(None, (), at_once=True), deliver=answers[case["id"]].append)
            runtime.services.queue.submit(job)
        runtime.close(grace_seconds=seconds)
    finally:
        runtime.close()
    assert [chunk.error for chunks in answers.values() for chunk in chunks if chunk.error] == []
    return {name: [token for chunk in chunks for token in chunk.token_ids] for name, chunks in answers.items()}


def expected_of(case: dict[str, Any]) -> list[int]:
    """Return the ids that a case expects, as far as it asks for them."""
    found: list[int] = case["expected_output_ids"][0][: case["params"]["max_new_tokens"]]
    return found
