"""Every way to attend gives the reference's answer at odd shapes; torch's own is called as the engine calls it."""

from __future__ import annotations

import math
import subprocess
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="make test-train has PyTorch")

from trimode_perf.gpu.attention import variants  # noqa: E402
from trimode_perf.gpu.attention.measure import TOLERANCE  # noqa: E402
from trimode_perf.gpu.attention.problem import Heads, Problem, Shape, error  # noqa: E402
from trimode_perf.gpu.device import Device  # noqa: E402
from trimode_perf.gpu.needs import Unavailable  # noqa: E402

SHAPES = [Shape(1, 1, 1), Shape(1, 1, 129), Shape(1, 7, 130), Shape(3, 1, 71), Shape(8, 5, 133)]
TORCHS = [name for name in variants.VARIANTS if name != "lengths"]


class Rounded(Device):
    """A processor that computes in bfloat16, as a GPU does here."""

    @property
    def dtype(self) -> Any:
        return torch.bfloat16


@pytest.mark.parametrize("device", [Device("cpu"), Rounded("cpu")], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", TORCHS)
@pytest.mark.subprocess  # FlexAttention's modules ask the system for a compiler when they are imported
def test_every_way_gives_the_references_answer(name: str, shape: Shape, device: Device) -> None:
    problem = Problem(shape, Heads(6, 2, 16), 140, device, layers=2)
    attend = variants.VARIANTS[name](problem)
    (*_, found) = [attend(*layer) for layer in problem.each_layer()]
    assert found.shape == problem.query.shape[1:]
    assert error(found, problem.answer()) <= TOLERANCE[device.dtype]


@pytest.mark.parametrize("name", TORCHS)
@pytest.mark.subprocess
def test_queries_of_one_head_of_keys_need_no_groups(name: str) -> None:
    problem = Problem(Shape(2, 3, 50), Heads(2, 2, 16), 64, Device("cpu"))
    found = variants.VARIANTS[name](problem)(*next(problem.each_layer()))
    assert error(found, problem.answer()) <= TOLERANCE[torch.float32]


def test_over_the_longest_is_what_the_torch_engine_computes() -> None:
    """Its mask and its call of SDPA, on a verification and a block over one cache: the same numbers to the last bit."""
    from trimode.engines.torch.network import Inputs, Network

    problem, tokens = Problem(Shape(2, 5, 60), Heads(4, 2, 16), 64, Device("cpu")), 5
    query, keys, values = next(problem.each_layer())
    engine: Any = SimpleNamespace(_heads=4, _kv_heads=2, device=query.device, dtype=query.dtype)
    begin = torch.tensor(problem.lengths) - tokens
    own = torch.stack([torch.ones(tokens, tokens).tril(), torch.ones(tokens, tokens)]).bool()
    unused = torch.zeros(2, tokens)
    given = Inputs(unused.long(), unused.long(), unused, unused.long(), begin, begin, own)
    bias = Network._bias(engine, given, 60)
    assert torch.equal(bias, problem.bias(60))
    theirs = Network._attend(engine, query, keys[:, :, :60], values[:, :, :60], bias)
    ours = variants.over_longest(problem)(query, keys, values)
    assert torch.equal(ours.flatten(2), theirs)


def test_a_row_that_sees_all_of_its_entries_needs_no_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    masks: list[Any] = []
    sdpa = torch.nn.functional.scaled_dot_product_attention

    def noted(*given: Any, attn_mask: Any, scale: float) -> Any:
        masks.append(attn_mask)
        return sdpa(*given, attn_mask=attn_mask, scale=scale)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", noted)
    problem = Problem(Shape(2, 3, 50), Heads(4, 2, 16), 64, Device("cpu"))
    variants.by_rows(problem)(*next(problem.each_layer()))
    assert [None if mask is None else tuple(mask.shape) for mask in masks] == [(1, 1, 6, 50), None]


@pytest.mark.subprocess
def test_flex_attention_is_compiled_once_for_all_lengths(monkeypatch: pytest.MonkeyPatch) -> None:
    """Traced as on a GPU, and run without a code generator: rows and tokens make a new graph, lengths do not."""
    compiled: list[Any] = []

    def backend(graph: Any, inputs: Any) -> Any:
        compiled.append(graph)
        return graph.forward

    compile_plain = torch.compile
    monkeypatch.setattr(torch, "compile", lambda *a, **k: compile_plain(*a, **k, backend=backend))
    variants._compiled.cache_clear()
    try:
        run = variants._compiled()
        monkeypatch.setattr(variants, "_compiled", lambda: run)
        for shape in [Shape(rows, tokens, length) for rows in (1, 3) for tokens in (1, 8) for length in (40, 77, 128)]:
            problem = Problem(shape, Heads(4, 2, 16), 130, Device("cpu"))
            attend = variants.flex_by(problem, run)
            assert error(attend(*next(problem.each_layer())), problem.answer()) <= TOLERANCE[torch.float32]
        assert len(compiled) == 4
    finally:
        torch.compiler.reset()


def test_a_compiler_that_is_not_there_is_the_reason_and_no_fault() -> None:
    def broken(*given: Any, **knobs: Any) -> Any:
        raise RuntimeError("Cannot find a working triton installation.\n\nmore")

    problem = Problem(Shape(1, 1, 9), Heads(2, 1, 16), 16, Device("cpu"))
    said = "compiling is not possible here: RuntimeError: Cannot find a working triton installation.$"
    with pytest.raises(Unavailable, match=said):
        variants.first_call(variants.flex_by(problem, broken), problem)
    with pytest.raises(Unavailable, match=said):
        variants.first_call(variants.flex_by(problem, broken), problem, "working triton")
    with pytest.raises(RuntimeError, match="Cannot find"):
        variants.first_call(variants.flex_by(problem, broken), problem, variants.NO_COMPILER)


@pytest.mark.parametrize("error", [subprocess.CalledProcessError(1, ["cc"]), FileNotFoundError("no cc")])
def test_a_compiler_that_cannot_compile_is_no_fault_of_the_kernel(error: Exception) -> None:
    def broken(*given: Any) -> Any:
        raise error

    problem = Problem(Shape(1, 1, 9), Heads(2, 1, 16), 16, Device("cpu"))
    with pytest.raises(Unavailable, match=f"^compiling is not possible here: {type(error).__name__}: "):
        variants.first_call(broken, problem, variants.NO_COMPILER)


def test_without_triton_the_kernel_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.setitem(__import__("sys").modules, "triton", None)
    problem = Problem(Shape(1, 1, 9), Heads(2, 1, 16), 16, Device("cpu"))
    with pytest.raises(Unavailable, match=r"^triton cannot be imported: "):
        variants.by_lengths(problem)


def test_the_answer_of_one_entry_is_its_value() -> None:
    problem = Problem(Shape(1, 1, 1), Heads(2, 1, 16), 4, Device("cpu"))
    query, keys, values = next(problem.each_layer())
    for name in ("capacity", "longest", "each row"):
        found = variants.VARIANTS[name](problem)(query, keys, values)
        assert math.isclose(float((found - values[:, :, :1]).abs().max()), 0.0, abs_tol=1e-6)
