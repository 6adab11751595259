"""gpu-check rehearsed on a CPU at tiny shapes: the whole script, with torch alone, resumed, interrupted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from trimode_perf.common import published
from trimode_perf.gpu import calls, check, device, engines, expected, model, needs, parity, passes, product
from trimode_perf.gpu.attention import apart, measure, variants
from trimode_perf.gpu.budget import Budget, Part, StoppedError
from trimode_perf.gpu.record import Record

ROOT = Path(__file__).parents[2]
# What a plain machine with torch may lack.
ALONE = """
import sys
for name in ("numpy", "onnxruntime", "onnx", "trimode", "trimode_convert", "tqdm", "rich", "yaml", "safetensors"):
    sys.modules[name] = None
from trimode_perf.__main__ import main
sys.exit(main(["gpu", *sys.argv[1:]]))
"""
CPU = {"type": "cpu", "name": "x86_64"}
CEILINGS = {"copy_bytes_per_second": 1.0, "operations_per_second": 1.0}
Rehearsal = tuple[subprocess.CompletedProcess[str], dict[str, Any], str]
PLACES = os.pathsep.join(str(ROOT / folder) for folder in ("perf", "train"))  # of what Makefile names, all it needs
SMALL = ["--rows", "1", "2", "--tokens", "1", "8", "--contexts", "64", "--skip-attention", "--skip-product"]


@pytest.fixture
def tiny() -> dict[str, Any]:
    """A released model's configuration at the dimensions of a rehearsal."""
    return {**published.CONFIGS["3b"], **published.TINY}


def run(*options: str, code: str = ALONE) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": PLACES, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-c", code, *options]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory: pytest.TempPathFactory) -> Rehearsal:
    """One whole run with torch alone: its process, its results, its table."""
    out = tmp_path_factory.mktemp("gpu") / "it.json"
    done = run("--device", "cpu", "--out", str(out))
    return done, json.loads(out.read_text()), out.with_suffix(".md").read_text()


def test_a_rehearsal_needs_torch_alone_and_gives_every_token(rehearsal: Rehearsal) -> None:
    done, found, _ = rehearsal
    assert done.returncode == 0, done.stderr
    rows = found["parity"]["torch"]["rows"]
    assert {(row["checkpoint"], row["mode"]) for row in rows} == {
        (name, mode)
        for name in ("plain", "wide", "yarn", "nano")
        for mode in ("autoregressive", "diffusion", "self_speculation")
    }
    assert all(row["asked"] == row["same_ids"] > 0 for row in rows)
    assert "onnxruntime cannot be imported" in found["parity"]["onnxruntime"]["skipped"]


def test_expected_rows_are_compared_in_each_precision_that_can_be_had_here() -> None:
    found = {(row["runtime"], row["precision"]): row for row in expected.compared("cpu")}
    assert list(found) == expected.places()
    for precision in expected.PRECISIONS:
        assert found["torch", precision]["found"].startswith("as expected, relative RMS "), found
        assert found["tensorrt", precision]["found"].startswith("skipped: "), found
    assert not any(row["fault"] for row in found.values())
    (left,) = expected.compared("cpu", expected.places()[1:])
    assert (left["runtime"], left["precision"]) == ("torch", "bfloat16")


def test_every_released_size_is_measured_the_most_useful_first() -> None:
    asked = check.parser().parse_args([]).sizes
    assert asked[0] == "8b" and sorted(asked) == sorted(published.CONFIGS)


def test_random_calls_are_the_same_on_the_device_and_in_a_call_alone() -> None:
    found = calls.compare("cpu", 60)
    assert found["rows"] > 60 and "failed" not in found
    assert found["largest"] == 0.0, "here both are the processor"
    assert 0 <= found["alone"] <= calls.TOLERANCE
    assert check.faults({"calls": found}) == []


def test_an_engine_with_other_logits_in_random_calls_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    right = calls.open_on
    opened: list[Any] = []

    def open_on(kind: str, bundle: Path) -> Any:
        opened.append(engine := right(kind, bundle))
        if len(opened) == 1:
            with torch.inference_mode():
                engine._executor._network._weights.final_norm.mul_(1.01)
        return engine

    monkeypatch.setattr(calls, "open_on", open_on)
    found = calls.compare("cpu", 10)
    assert found["largest"] == pytest.approx(0.01, rel=0.1)
    assert check.faults({"calls": found}) == [f"random calls: {found['failed']}"]


def test_an_engine_that_answers_wrongly_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(F, "silu", lambda x: x)
    (row,) = expected.compared("cpu", expected.places()[1:])
    assert row["fault"] and "BundleError: " in row["found"] and "answers wrongly in bfloat16" in row["found"]
    said = check.faults({"expected": [row]})
    assert said == [f"expected rows, torch in bfloat16: {row['found']}"]


def test_the_products_loop_is_skipped_where_it_lacks_something(rehearsal: Rehearsal) -> None:
    _, found, table = rehearsal
    assert "it needs numpy, tokenizers, regex, jinja2, pyyaml and llguidance" in found["product_skipped"]
    assert "cannot be imported" in found["parity"]["product"]["skipped"]
    assert f"Skipped: {found['product_skipped']}." in table


@pytest.mark.subprocess
def test_the_products_loop_is_rehearsed_and_goes_on_where_it_was_left(tmp_path: Path) -> None:
    out = tmp_path / "it.json"
    options = ["--device", "cpu", "--skip-parity", "--out", str(out), *SMALL[:-1]]
    assert check.main(options) == 0
    found = json.loads(out.read_text())["product"]
    assert {(row["mode"], row["rows"]) for row in found} == {(mode, rows) for mode in product.MODES for rows in (1, 2)}
    for row in found:
        assert row["tokens"] == 8 * row["rows"] and row["passes"] > 0 < row["seconds_in_passes"]
        greedy = "top-p" not in row["mode"]
        assert (row["downloads"] == row["passes"]) == greedy, row
        assert f"| tiny | {row['mode']} | {row['rows']} | {row['passes']} |" in out.with_suffix(".md").read_text()
    out.write_text(json.dumps({**json.loads(out.read_text()), "product": found[2:]}))
    assert check.main(options) == 0
    again = json.loads(out.read_text())["product"]
    assert again[:-2] == found[2:] and len(again) == len(found)


def test_the_products_torch_engine_gives_every_token_through_the_rehearsal() -> None:
    told = parity.check(engines.product_engine("cpu"))
    assert told["differing"] == []
    assert sum(row["asked"] for row in told["rows"]) == 96 + 34


def test_attention_alone_is_rehearsed_in_every_way_that_can_be_had_here(rehearsal: Rehearsal) -> None:
    _, found, table = rehearsal
    timed = [row for row in found["attention"] if "milliseconds" in row]
    shapes = {(row["variant"], row["rows"], row["tokens"], row["length"]) for row in timed}
    ways = {name for name in variants.VARIANTS if name != "lengths" or find_spec("triton")}
    work = measure.TINY_WORK
    assert shapes == {(way, shape.rows, shape.tokens, shape.length) for way in ways for shape in work.shapes()}
    for way in variants.VARIANTS.keys() - ways:
        assert f"- {way}: skipped: triton cannot be imported: " in table
    for shape in work.shapes():
        assert f"| {shape.rows} | {shape.tokens} | {shape.length} | " in table


def test_a_wrong_attention_is_a_fault() -> None:
    wrong = {"variant": "lengths", "rows": 8, "tokens": 1, "length": 1024, "failed": "a relative error of 1"}
    said = "attention, lengths, tokens 1, rows 8, entries 1024: failed: a relative error of 1"
    assert check.faults({"attention": [wrong, {"variant": "flex", "skipped": "no compiler"}]}) == [said]


def test_tensorrt_rtx_is_asked_last_and_not_past_the_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody knows what it does on a GPU that it is not for: it may end the process."""
    called: list[str] = []
    monkeypatch.setattr(check, "check_engines", lambda *_: None)
    monkeypatch.setattr(check, "measure_product", lambda *_: None)
    monkeypatch.setattr(check, "compare_calls", lambda *_: None)
    monkeypatch.setattr(check, "measure_attention", lambda *_: called.append("attention"))
    monkeypatch.setattr(check, "measure_size", lambda *_: called.append("passes"))
    monkeypatch.setattr(check, "compare_rows", lambda device, record, runtimes, part: called.extend(runtimes))
    record = Record(tmp_path / "it.json", {"ceilings": CEILINGS, "device": CPU, "command": "it"})
    options = check.parser().parse_args([])
    check.fill(options, device.Device("cpu"), record, Budget(minutes=1))
    assert called == ["torch", "tensorrt", "attention", "passes", "tensorrt_rtx"]
    assert record.found["stopped"] == {}
    called.clear()
    check.fill(options, device.Device("cpu"), record, Budget(minutes=0))
    assert called == []
    assert set(record.found["stopped"].values()) == {"stopped after 0 s"}
    assert {"parity", "random calls", "TensorRT-RTX"} <= record.found["stopped"].keys()
    assert "## Not finished\n\nparity: stopped after 0 s; " in record.path.with_suffix(".md").read_text()


class Clock:
    """Goes on by a second whenever it is read."""

    now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def test_the_early_parts_are_cut_between_their_steps_and_keep_what_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu = device.Device("cpu")
    record = Record.open(tmp_path / "it.json", CPU, fresh=False)
    with pytest.raises(StoppedError):
        check.check_engines(cpu, record, Part(3.0, Clock()))
    assert record.found["parity"] == {}
    with pytest.raises(StoppedError):
        check.compare_rows(cpu, record, expected.RUNTIMES[:-1], Part(2.0, Clock()))
    assert [(row["runtime"], row["precision"]) for row in record.found["expected"]] == expected.places()[:2]
    with pytest.raises(StoppedError):
        check.compare_calls(cpu, record, Part(4.0, Clock()))
    assert record.found["calls"]["calls"] == 3 < calls.CALLS
    monkeypatch.setattr(calls, "CALLS", 3)
    check.compare_calls(cpu, record, Part(0.0))
    assert record.found["calls"]["calls"] == 3, "what is done is not done again"


def test_attention_that_no_time_is_left_for_is_named(tmp_path: Path) -> None:
    record = Record(tmp_path / "it.json", {})
    with pytest.raises(StoppedError):
        check.measure_attention(device.Device("cpu"), record, Part(until=0.0))
    assert {row["skipped"] for row in record.found["attention"]} == {apart.LATE}


@pytest.mark.subprocess
def test_attention_alone_goes_on_where_it_was_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, asked = tmp_path / "it.json", [*SMALL[:-2], "--skip-product"]
    options = ["--device", "cpu", "--skip-parity", "--out", str(out), *asked]
    shapes = measure.TINY_WORK.shapes()
    record = Record.open(out, device.Device("cpu").describe(), fresh=False)
    for way in variants.VARIANTS:
        for shape in shapes[: -1 if way == "longest" else None]:
            record.add_attention({"variant": way, **asdict(shape), "milliseconds": {"median": 1.0}, "bytes": 1})
    assert check.main(options) == 0
    assert "attention alone: 100%" in capsys.readouterr().err
    (new,) = [row for row in json.loads(out.read_text())["attention"] if "error" in row]
    assert (new["variant"], new["length"], new["rows"]) == ("longest", shapes[-1].length, shapes[-1].rows)


def test_every_shape_is_measured(rehearsal: Rehearsal) -> None:
    _, found, table = rehearsal
    assert len(found["passes"]) == 2 * 2 * 3
    for row in found["passes"]:
        times = row["milliseconds"]
        assert 0 < times["low"] <= times["median"] <= times["high"]
        assert row["bytes"] > 0 < row["operations"]
        assert f"| tiny | {row['rows']} | {row['context']} | {row['tokens']} | {times['median']:.3f}" in table


def test_nobody_takes_it_for_a_gpus(rehearsal: Rehearsal) -> None:
    done, found, table = rehearsal
    warning = "REHEARSAL ON A CPU, NOT A GPU RESULT"
    assert (found["warning"], table.splitlines()[0]) == (warning, f"# {warning}")
    assert done.stdout.startswith(f"# {warning}")
    assert "implied_tokens_per_second" not in json.dumps(found)


def test_a_run_goes_on_where_it_was_left(tmp_path: Path) -> None:
    out = str(tmp_path / "it.json")
    first = run("--device", "cpu", "--skip-parity", "--out", out, "--rows", "1", *SMALL[3:])
    assert first.returncode == 0, first.stderr
    before = json.loads(Path(out).read_text())["passes"]
    second = run("--device", "cpu", "--skip-parity", "--out", out, *SMALL)
    assert "passes, tiny, 2 shapes: 100%" in second.stderr  # those of two rows
    after = json.loads(Path(out).read_text())["passes"]
    assert (len(before), after[:2], len(after)) == (2, before, 4)


@pytest.mark.subprocess
def test_an_interrupt_keeps_what_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measure = passes.measure

    def interrupted(*given: Any, **settings: Any) -> Iterator[dict[str, Any]]:
        yield next(measure(*given, **settings))
        raise KeyboardInterrupt

    monkeypatch.setattr(check, "measure", interrupted)
    out = tmp_path / "it.json"
    assert check.main(["--device", "cpu", "--skip-parity", "--out", str(out), *SMALL]) == 130
    assert "the next run goes on" in capsys.readouterr().err
    assert len(json.loads(out.read_text())["passes"]) == 1


@pytest.mark.subprocess
def test_an_engine_that_fails_does_not_cost_the_others_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(device: str) -> parity.Engine:
        raise RuntimeError("no such kernel")

    monkeypatch.setattr(check, "ENGINES", {"torch": broken})
    out = tmp_path / "it.json"
    assert check.main(["--device", "cpu", "--out", str(out), *SMALL]) == 1
    assert "parity, torch: failed: RuntimeError: no such kernel" in capsys.readouterr().err
    assert len(json.loads(out.read_text())["passes"]) == 4


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so_and_fails() -> None:
    done = run()
    assert (done.returncode, done.stdout) == (1, "")
    assert "sees no NVIDIA GPU here. Run it on a machine with one, or rehearse it with --device cpu" in done.stderr


def test_wrong_shapes_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        check.main(["--device", "cpu", "--rows", "0"])
    assert "--rows: expected 1 or more, got 0" in capsys.readouterr().err


def test_this_projects_own_engine_gives_every_token_through_the_rehearsal() -> None:
    """ONNX Runtime's CPU provider stands in for CUDA's."""
    told = parity.check(engines.onnxruntime_engine("cpu"))
    assert told["differing"] == []
    assert sum(row["asked"] for row in told["rows"]) == 96 + 34


def test_tensorrt_is_not_tried_without_a_gpu() -> None:
    with pytest.raises(needs.Unavailable, match="TensorRT runs on a GPU alone"):
        engines.tensorrt_engine("cpu")


def test_both_kinds_of_attention_and_a_batch_give_the_same_logits(tiny: dict[str, Any]) -> None:
    static = passes.random_model(tiny, device.Device("cpu"), 32)
    ids = torch.randint(0, 512, (3, 4), generator=torch.Generator().manual_seed(0))
    found = []
    for attention, rows in (("products", 3), ("fused", 3), ("products", 1)):
        call = model.Call(static, static.cache(rows, 32), 4, 32, attention=attention)
        call.ids.copy_(ids[-rows:])
        call.run()
        found.append(call.logits[-1].clone())
        probable = call.logits.softmax(-1).max(-1)
        torch.testing.assert_close(call.top_prob, probable.values)
        assert torch.equal(call.top_id, probable.indices)
    torch.testing.assert_close(found[0], found[1])
    torch.testing.assert_close(found[0], found[2])


def test_the_bytes_and_operations_of_a_pass_are_those_of_its_tensors() -> None:
    one = passes.work(published.CONFIGS["8b"], passes.Shape("8b", 1, 1, 512), 2)
    embedding = 131072 * 4096
    cache = 2 * 34 * 8 * 128 * 513
    assert one["bytes"] == 2 * (8_489_553_920 - embedding + 4096 + cache)
    norms = (2 * 34 + 1) * 4096
    assert one["operations"] == 2 * (8_489_553_920 - embedding - norms) + 4 * 34 * 4096 * 512
    block = passes.work(published.CONFIGS["8b"], passes.Shape("8b", 1, 32, 512), 2)
    assert block["operations"] == 32 * one["operations"]
    assert passes.weight_bytes(published.CONFIGS["8b"], 2) == 2 * 8_489_553_920


def test_what_does_not_fit_is_skipped_with_its_size(tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device.Device, "free_bytes", lambda self: (1 << 30) + 10**6)
    shapes = passes.Grid((1, 4096), (1,), (512,)).shapes("tiny")
    fits, too_large = passes.measure("tiny", tiny, device.Device("cpu"), shapes, seconds=0.001)
    assert "milliseconds" in fits
    assert too_large["skipped"].startswith("cache and activations take ")
    monkeypatch.setattr(device.Device, "free_bytes", lambda self: 1 << 30)
    for row in passes.measure("tiny", tiny, device.Device("cpu"), shapes):
        assert row["skipped"].startswith("tiny's weights take 1.1 GB, 1.1 GB are free")
