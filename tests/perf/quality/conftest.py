"""Results and a checkpoint that several tests of the quality table read."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from trimode_perf.common import NANO, NANO_VLM
from trimode_perf.quality import claims, settings

BY_DOMAIN = {"asked": 2, "exact": 2, "same_as_autoregressive": 2, "tokens": 60, "forwards": 10, "cycles": 5}


@pytest.fixture
def results() -> dict[str, Any]:
    """Results in which everything holds, with an adapter, of a checkpoint that never was."""
    made = []
    every = settings.on_every_prompt(True)
    counted_twice = [s for s in (replace(s, prompts="sweep") for s in every) if s not in list(settings.sweep())]
    fewer_bits = [one for bits in settings.FEWER_BITS for one in settings.main_settings(True, bits)]
    for setting in [*every, *counted_twice, *settings.sweep(), *fewer_bits]:
        drafts = {"accepted": {"10": 1, "12": 4}} if setting.mode == "self_speculation" else {}
        domains = {name: {**BY_DOMAIN, **drafts} for name in ("addition", "to_json")}
        domains["to_json"]["parsed"] = 1
        domains["code"] = {**BY_DOMAIN, **drafts, "exact": None}
        made.append({**asdict(setting), "domains": domains})
    entry = {"tokens": 10, "bytes": 20, "nats": 10.0, "perplexity": 2.7183}
    made_up: dict[str, Any] = {
        "settings": {
            "model": "tiny", "adapter": True, "engine": "toy", "chats": 4, "plain_texts": 2, "sweep_per_domain": 1,
        },
        "checkpoint": {"hash": "", "parameters": 5, "tensor_megabytes": 1.0, "megabytes": 1.5, "load_seconds": 0.1},
        "runs": made,
        "forms": {"thinking": {"asked": 2, "exact": 1}},
        "perplexity": {"domains": dict.fromkeys(("addition", "to_json", "code"), entry), "human_eval": entry},
        "human_eval": {"problems": 2, "runs": [{**asdict(settings.autoregressive()), "all": BY_DOMAIN}]},
    }  # fmt: skip
    claims.conclude(made_up)
    return made_up


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A folder with the two files that a card is made from beside the results."""
    (tmp_path / "config.json").write_text((NANO / "config.json").read_text())
    training = {
        "stages": [{"recipe": "nano-cpu", "steps": 1234, "tokens": 2_500_000, "minutes": 3.0}],
        "draft_adapter": {"rank": 8, "alpha": 32, "steps": 5, "minutes": 6.0, "tokens": 7_000_000},
        "sources": [
            {"name": "a library", "kind": "code", "licence": "MIT", "address": "https://example.org", "files": 1200,
             "bytes": 3_000_000, "held_out_files": 60},
            {"name": "generators", "kind": "chat", "licence": "Apache-2.0", "address": "train/tasks"},
            {"name": "letters", "kind": "font", "licence": "CC0-1.0", "address": "https://example.org/f"},
        ],
    }  # fmt: skip
    (tmp_path / "training.json").write_text(json.dumps(training))
    return tmp_path


@pytest.fixture(params=[NANO, NANO_VLM], ids=lambda path: path.name)
def shipped_checkpoint(request: pytest.FixtureRequest) -> Path:
    """A checkpoint that ships."""
    return Path(request.param)


@pytest.fixture
def shipped(shipped_checkpoint: Path) -> dict[str, Any]:
    """Its results."""
    path = shipped_checkpoint / "quality.json"
    if not path.is_file():
        pytest.skip("the checkpoint was not measured yet: make quality")
    return dict(json.loads(path.read_text(encoding="utf-8")))
