"""`python -m trimode_perf.gpu.reference`: what the shipped checkpoint must answer, as token ids of the CPU engine.

Writes reference.json, so that a machine without tokenizer or ONNX Runtime can compare. Run in the project's
environment, from perf/, on a built float32 bundle.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from trimode.config import ServerConfig
from trimode.runtime import Runtime

from ..common.paths import NANO, PROJECT
from ..common.prompts import Prompt, load, spread
from ..peers.comparison import prompt_ids
from .parity import MODES, REFERENCE, Question

PROMPTS = 8
MAX_TOKENS = 64
THRESHOLD = {"autoregressive": 0.0, "diffusion": 0.9, "self_speculation": 0.0}


def expected(runtime: Runtime, asked: list[Prompt]) -> list[Question]:
    """Return every prompt in every mode with the runtime's answer."""
    made = []
    limits = (runtime.manifest.eos_token_id, runtime.manifest.block_size)
    for number, prompt in enumerate(asked):
        ids = prompt_ids(runtime, prompt)
        for mode in MODES.values():
            given: dict[str, Any] = {"mode": mode, "max_tokens": MAX_TOKENS}
            if mode != "autoregressive":
                given |= {"block_length": runtime.manifest.block_size, "threshold": THRESHOLD[mode]}
            answer = runtime.generate({**given, "input_ids": ids}, reference=True)
            tokens = list(answer.token_ids)[:MAX_TOKENS]
            made.append(Question(f"{prompt.domain}-{number}", mode, ids, MAX_TOKENS, *limits, THRESHOLD[mode], tokens))
    return made


def chosen() -> list[Prompt]:
    """Return the prompts that are asked: held-out ones with messages, of as many domains."""
    return spread([prompt for prompt in load(NANO / "heldout.jsonl", 1) if prompt.messages], PROMPTS)


def main() -> None:
    """Write the file."""
    made = argparse.ArgumentParser(prog="python -m trimode_perf.gpu.reference", description=__doc__)
    made.add_argument("--bundle", type=Path, default=PROJECT / "build/out/nano-float32", metavar="DIR")
    runtime = Runtime.open(ServerConfig(bundle=made.parse_args().bundle))
    try:
        lines = [json.dumps(asdict(question)) for question in expected(runtime, chosen())]
    finally:
        runtime.close()
    REFERENCE.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
