"""The torch engine over no device: the same, its passes captured as on a GPU, and no logits to look at."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="make test-train has PyTorch")

from trimode.engines.base import Row
from trimode_convert.tensorrt.profiles import Shapes
from trimode_perf.speed.speculation import host_side, null_torch
from trimode_perf.speed.speculation.null_choices import RIGHT, manifest_of

SHAPES = Shapes(batch=2, block=32, chunk=512, capacity=512, quadratic=0)


def test_choices_follow_the_tokens_and_their_time_is_counted() -> None:
    engine, invented = null_torch.opened(manifest_of("torch", SHAPES, 1, 101_000), 2)
    slot, right = engine.allocate(block=True), []
    for _ in range(20):
        (result,) = engine.run([Row(slot, np.arange(2000, 2032), 0, "causal", np.arange(32), keep=True)])
        right += (result.top_id[:-1] == np.arange(2001, 2032)).tolist()
    assert abs(np.mean(right) - RIGHT) < 0.1
    assert engine.calls == 20 and invented.seconds > 0
    assert not engine.in_host_memory and not engine._executor._others, "every pass was a captured one"
    with pytest.raises(RuntimeError, match="were fetched, and there are none"):
        _ = result.logits


def test_every_mode_runs_without_logits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = host_side.measure

    def measure(engine: str, rows: tuple[int, ...], tokens: int) -> object:
        return tiny(engine, rows, tokens, capacity=512, layers=1, vocab=101_000)

    monkeypatch.setattr(host_side, "measure", measure)
    out = tmp_path / "found.json"
    assert host_side.main(["--engine", "torch", "--rows", "1", "2", "--tokens", "200", "--out", str(out)]) == 0
    found = {(row["mode"], row["rows"]): row for row in json.loads(out.read_text())["rows"]}
    assert set(found) == {(mode, rows) for mode in host_side.MODES for rows in (1, 2)}
    assert all(row["engine"] == "torch" and row["tokens"] == 200 * rows for (_, rows), row in found.items())
    assert found["autoregressive", 1]["passes"] == 200, "the prompt's pass gives the first token"
    assert 4 < 2 * found["self_speculation", 1]["tokens_a_pass"] < 10
    assert found["diffusion", 1]["tokens_a_pass"] > 1.3
    plain = [row["graphs"] for (mode, _), row in found.items() if mode != "auto"]
    assert min(plain) > 0.9, "all but prompts; auto has quadratic passes too"
