"""What leaves the device in each mode: greedy modes fetch a pass's choices and no logits, and wait once a pass.

Log-probabilities of what a pass chose cost nothing beside; those of other tokens one logit each.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from trimode.config import ServerConfig
from trimode.engines.torch.device import Device
from trimode.engines.torch.engine import TorchEngine
from trimode.runtime import Runtime

from tests.torch.conftest import Linked

NANO = Path(__file__).parents[2] / "checkpoints" / "nano"
ASKED = {"text_input": "The lion is", "max_tokens": 24, "end_id": -1}
GREEDY: dict[str, dict[str, Any]] = {
    "autoregressive": {"mode": "autoregressive"},
    "diffusion": {"mode": "diffusion"},
    "diffusion by steps": {"mode": "diffusion", "reveal": "steps", "denoise_steps": 4, "block_length": 8},
    "diffusion from the left": {"mode": "diffusion", "reveal": "leftmost", "threshold": 0.5},
    "self-speculation": {"mode": "self_speculation"},
    "self-speculation with a threshold": {"mode": "self_speculation", "threshold": 0.8},
    "quadratic": {"mode": "self_speculation", "speculation": "quadratic", "block_length": 4},
    "auto": {"mode": "auto"},
    "a block that is watched": {"mode": "diffusion", "stream": True, "stream_provisional": True},
    "log-probabilities": {"mode": "autoregressive", "return_log_probs": True},
    "log-probabilities of a verified draft": {"mode": "self_speculation", "return_log_probs": True},
    "log-probabilities of denoised tokens": {"mode": "diffusion", "return_log_probs": True},
}
ANYTHING = {"guided_decoding_guide_type": "regex", "guided_decoding_guide": "(.|\\n)*"}
LOOKS: dict[str, dict[str, Any]] = {
    "by entropy": {"mode": "diffusion", "reveal": "entropy", "denoise_steps": 4},
    "by margin": {"mode": "diffusion", "reveal": "margin", "denoise_steps": 4},
    "sampled": {"mode": "autoregressive", "temperature": 0.8, "seed": 1},
    "the likeliest": {"mode": "autoregressive", "return_log_probs": True, "top_log_probs": 2},
}
PICKS: dict[str, dict[str, Any]] = {
    "of a prompt": {"mode": "autoregressive", "return_prompt_log_probs": True},
    "causal ones of a block": {"mode": "diffusion", "return_log_probs": True, "log_probs_kind": "causal"},
}
"""Log-probabilities of tokens that a pass did not choose."""


class Recording(Device):
    """Counts, and notes how many bytes each copy to the host had."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.sizes: list[int] = []

    def count_download(self, size: int) -> None:
        super().count_download(size)
        self.sizes.append(size)


@pytest.fixture(scope="module")
def runtime(linked: Linked) -> Iterator[Runtime]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trimode.engines.torch.engine.Device", Recording)
        config = ServerConfig(bundle=linked(NANO), threads=1, max_slots=2, prefix_cache_mib=0)
        with closing(Runtime.open(config)) as opened:
            yield opened


def counted(runtime: Runtime, fields: dict[str, Any]) -> tuple[int, int, int, list[int]]:
    """Passes, copies to the host, waits, and sizes of the copies, of one request."""
    engine = runtime.engine
    assert isinstance(engine, TorchEngine) and isinstance(engine.device, Recording)
    device = engine.device
    before = engine.calls, device.downloads, device.waits
    device.sizes.clear()
    answer = runtime.generate({**ASKED, **fields})
    assert len(answer.token_ids) == 24
    return engine.calls - before[0], device.downloads - before[1], device.waits - before[2], device.sizes


@pytest.mark.parametrize("name", GREEDY)
def test_a_greedy_mode_fetches_its_choices_alone(name: str, runtime: Runtime) -> None:
    passes, downloads, waits, sizes = counted(runtime, GREEDY[name])
    assert passes > 0
    assert downloads == waits == passes
    assert max(sizes) < runtime.manifest.vocab_size * 4, "less than one row of logits"


@pytest.mark.subprocess
@pytest.mark.parametrize("mode", ["autoregressive", "self_speculation"])
def test_a_token_that_fits_a_grammar_needs_no_logits(mode: str, runtime: Runtime) -> None:
    passes, downloads, _, _ = counted(runtime, {"mode": mode, **ANYTHING})
    assert downloads == passes


@pytest.mark.parametrize("name", LOOKS)
def test_what_looks_at_logits_fetches_them_once_a_pass(name: str, runtime: Runtime) -> None:
    passes, downloads, _, sizes = counted(runtime, LOOKS[name])
    assert passes < downloads <= 2 * passes
    assert max(sizes) >= runtime.manifest.vocab_size * 4


@pytest.mark.parametrize("name", PICKS)
def test_the_probability_of_a_given_token_takes_one_logit(name: str, runtime: Runtime) -> None:
    passes, downloads, waits, sizes = counted(runtime, PICKS[name])
    assert passes < downloads == waits <= 2 * passes
    assert max(sizes) < runtime.manifest.vocab_size * 4, "less than one row of logits"
