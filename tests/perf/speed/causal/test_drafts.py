"""What drafts of an adapter give, on a toy engine that drafts; the claims, on figures made up for them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from trimode.bundle.manifest import CAUSAL_MODES, DRAFTING_MODES
from trimode.config import ServerConfig
from trimode.runtime import Runtime
from trimode_perf.common.progress import Pace
from trimode_perf.common.prompts import Prompt
from trimode_perf.speed import Context, Options, layers
from trimode_perf.speed.causal import drafts

from tests.support.toy import ToyEngine, manifest, toy_runtime

TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
PROMPTS = [Prompt(kind, messages=({"role": "user", "content": kind * 3},)) for kind in ("chat", "chat", "json")]
RECORD = {"rank": 4, "minutes": 3.2, "tokens": 5000, "growth": [[0, 1.0], [5000, 2.5]]}


@pytest.fixture
def drafting() -> Iterator[Runtime]:
    """A runtime of a checkpoint that was not trained to denoise, and drafts with its adapter."""
    engine = ToyEngine(hit=0.7)
    engine.manifest = replace(engine.manifest, modes=DRAFTING_MODES, adapter=True)
    made = toy_runtime(engine, TEMPLATE)
    yield made
    made.close()


def test_every_prompt_is_asked_and_timed_in_every_way(drafting: Runtime, tmp_path: Path) -> None:
    shares: list[float] = []
    found: dict[str, Any] = {"drafts": {
        "prompts": 3, "met": 2, "tokens": 64, "training": RECORD,
        "precisions": {"float32": drafts.ask(drafting, PROMPTS, Pace(0.001, shares.append))},
    }}  # fmt: skip
    own = found["drafts"]["precisions"]["float32"]
    assert set(own["all"]) == {*drafts.WAYS, drafts.BARE} and set(own["kinds"]) == {"chat", "json"}
    assert all((row["same"], row["answers"]) == (3, 3) for row in own["all"].values())  # drafts change no text
    assert own["kinds"]["chat"]["auto"]["answers"] == 2
    assert own["all"]["autoregressive"]["hits"] == [] and own["all"]["linear 8"]["hits"]
    assert own["all"]["linear 8"]["tokens_per_cycle"] > 1.5
    assert own["all"]["autoregressive"]["speed"] == {"median": 1.0, "low": 1.0, "high": 1.0}
    assert "speed" not in own["all"][drafts.BARE] and own["kinds"]["chat"]["auto"]["speed"]["median"] > 0
    assert shares == pytest.approx([1 / 3, 2 / 3, 1.0])
    text = drafts.section(found)
    assert "| linear 8 |" in text and "| json |" in text and "5,000 noisy tokens" in text
    drafts.plot(found, tmp_path / "a/drafts.png")
    assert (tmp_path / "a/drafts.png").stat().st_size > 1000
    assert drafts.claims(found)[0].holds


def test_a_schema_is_asked_for_in_every_way(drafting: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its answers are a kind of their own, and not part of all kinds together."""
    asked: list[dict[str, Any]] = []
    real = layers.ask_runtime

    def ask(runtime: Runtime, prompt: Prompt, fields: dict[str, Any]) -> Any:
        asked.append(fields)
        return real(runtime, prompt, {name: value for name, value in fields.items() if "guide" not in name})

    monkeypatch.setattr(drafts, "ask_runtime", ask)
    own = drafts.ask(drafting, [*PROMPTS, replace(PROMPTS[0], domain=drafts.SCHEMA)], Pace(0.001, lambda share: None))
    assert sum("guided_decoding_guide" in fields for fields in asked) == len(own["all"])
    assert own["kinds"][drafts.SCHEMA]["auto"]["answers"] == 1 and own["all"]["auto"]["answers"] == 3


def test_hits_are_shares_of_what_verification_came_to() -> None:
    # of 10 verifications 4 confirmed none, 3 one, 1 two, 2 three
    assert drafts.hits((4, 3, 1, 2)) == [6 / 10, 3 / 6, 2 / 3]
    assert drafts.hits(()) == []


def test_a_checkpoint_without_an_adapter_has_nothing_to_measure(tmp_path: Path) -> None:
    replace(manifest(), modes=CAUSAL_MODES).save(tmp_path)
    assert drafts.measure(Context(Options(tmp_path), ServerConfig(bundle=tmp_path), 1.0)) == {}


def test_prompts_are_those_that_were_held_out(tmp_path: Path) -> None:
    lines = [{"domain": "chat", "messages": [{"role": "user", "content": f"{n}?"}]} for n in range(3)]
    (tmp_path / "heldout.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    met, asked = drafts.prompts_of(tmp_path, 1, 1)
    assert (
        [prompt.domain for prompt in asked]
        == [prompt.domain for prompt in met]
        == [*("chat", "human_eval", drafts.SCHEMA)]
    )
    assert asked[0].messages == ({"role": "user", "content": "0?"},)
    assert met[0].messages == ({"role": "user", "content": "1?"},)


def _own(cycle: float, speed: float, same: int = 2) -> dict[str, Any]:
    row = {"tokens_per_cycle": cycle, "same": same, "answers": 2, "speed": {"median": speed}}
    ways = dict.fromkeys((*drafts.WAYS, drafts.BARE), row)
    return {"all": ways, "kinds": {"chat": ways, "json": ways}}


@pytest.mark.parametrize(
    ("own", "holds"),
    [
        (_own(3.0, 1.5), [True] * 6),
        (_own(2.9, 1.2), [True, False, True, True, True, False]),
        (_own(1.4, 0.9, same=1), [False] * 6),
    ],
)
def test_a_claim_fails_where_its_figure_falls_short(own: dict[str, Any], holds: list[bool]) -> None:
    found = {"drafts": {"precisions": {"float32": own}}}
    assert [claim.holds for claim in drafts.claims(found)] == holds


def test_fewer_bits_may_change_the_text() -> None:
    found = {"drafts": {"precisions": {"int8": _own(1.0, 2.0, same=0)}}}
    assert [claim.holds for claim in drafts.claims(found)] == [True, True, True]
