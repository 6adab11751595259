"""Products in fp8 on the processor: what they round, that rows stay apart, and what a GPU would have to be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from trimode.engines.base import Row
from trimode.engines.torch.engine import TorchEngine
from trimode.engines.torch.products import FP8, Fp8Matrix, check_gpu, product, rounded
from trimode.errors import EngineError

from tests.torch.conftest import Linked

NANO = Path(__file__).parents[2] / "checkpoints" / "nano"


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_a_rows_largest_value_is_exact_and_zeros_stay() -> None:
    rows = torch.tensor([[-448.0, 224.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0], [0.5, 7.0, 3.5, -1.75]])
    codes, scales = rounded(rows)
    assert codes.dtype == FP8
    assert codes.float()[0].tolist() == [-448.0, 224.0, 1.0, 0.0]
    assert codes.float()[2].tolist() == [32.0, 448.0, 224.0, -112.0]
    assert (codes.float() * scales)[1].tolist() == [0.0] * 4


def test_values_are_within_a_sixteenth_of_themselves() -> None:
    rows = drawn(40, 64)
    codes, scales = rounded(rows)
    normal = codes.float().abs() >= 2.0**-6  # below it e4m3 has steps of one size
    error = (codes.float() * scales - rows).abs()
    assert bool((error[normal] <= rows.abs()[normal] / 16).all())


@pytest.mark.parametrize("shape", [(1, 64), (3, 5, 64)])
def test_a_product_is_that_of_what_codes_and_scales_stand_for(shape: tuple[int, ...]) -> None:
    x, matrix = drawn(*shape).bfloat16(), Fp8Matrix.of(drawn(48, 64, seed=1))
    codes, scales = rounded(x.reshape(-1, 64))
    expected = (codes.float() * scales) @ (matrix.codes.float() * matrix.scales.T).T
    found = product(x, matrix)
    assert found.dtype == torch.bfloat16 and found.shape == (*shape[:-1], 48)
    torch.testing.assert_close(found.float().reshape(-1, 48), expected, rtol=2**-8, atol=1e-5)


def test_a_row_is_the_same_among_others_and_is_not_harmed_by_one_that_is_no_number() -> None:
    x, matrix = drawn(6, 64).bfloat16(), Fp8Matrix.of(drawn(48, 64, seed=1))
    x[2, 5], x[4, 0] = torch.nan, torch.inf
    together = product(x, matrix)
    for row in (0, 1, 3, 5):
        assert torch.equal(product(x[row : row + 1], matrix)[0], together[row])
    assert bool(together[[2, 4]].isnan().all())


def test_a_gpu_must_multiply_fp8_and_take_the_widths() -> None:
    check_gpu({"hidden_size": 4096}, (8, 9))
    with pytest.raises(EngineError, match=r"fp8 needs compute capability 8\.9 or more, this GPU has 8\.6"):
        check_gpu({"hidden_size": 4096}, (8, 6))
    with pytest.raises(EngineError, match="fp8 needs multiples of 16 on a GPU, hidden_size is 40"):
        check_gpu({"hidden_size": 40}, (9, 0))


def test_a_trained_models_logits_are_within_a_twentieth_of_bfloat16s(linked: Linked) -> None:
    """Relative RMS over a prompt and a block of masks; 0.03 was measured."""
    found = []
    for precision in ("bfloat16", "fp8"):
        engine = TorchEngine.open(linked(NANO, precision, 256), threads=1, spin=False, max_slots=1)
        slot, mask = engine.allocate(block=True), engine.manifest.mask_token_id
        prompt = np.frombuffer(b"What is 23 + 2221? Turn 17 kg into grams.", np.uint8).astype(np.int64)
        read = Row(slot, prompt, 0, "causal", np.arange(len(prompt)), keep=True)
        block = Row(slot, np.full(32, mask), len(prompt), "block", np.arange(32), keep=False)
        found.append(np.concatenate([engine.run([row])[0].logits for row in (read, block)]))
    exact, rough = found
    far = np.sqrt(((rough - exact) ** 2).mean() / (exact**2).mean())
    assert 0 < far <= 0.05
