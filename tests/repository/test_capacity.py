"""The calculator of docs/guides/capacity.md: its formulas on values worked out by hand, and the page's examples."""

from __future__ import annotations

import json
import math
import re
import shlex
from pathlib import Path

import pytest
import yaml

from scripts.capacity.__main__ import main
from scripts.capacity.demand import Demand, Point, replicas
from scripts.capacity.measured import CurveError, curve
from scripts.capacity.modelled import CEILINGS, REACHED_ARITHMETIC, REACHED_BANDWIDTH, Replica, replica
from tests.support.layout import ROOT

PAGE = (ROOT / "docs" / "guides" / "capacity.md").read_text(encoding="utf-8")
CURVE = [Point(1, 0.010, 2.0), Point(2, 0.015, 3.0), Point(4, 0.040, 4.0)]
# 100 tokens an answer: 1 / 2 / 100 = 5 ms, 2 / 3 / 100 = 6.7 ms, 4 / 4 / 100 = 10 ms a token
SIMPLE = Replica(
    weights=1000.0, token_bytes=1.0, parameters=500.0, slots=4, capacity=100, bandwidth=1000.0, arithmetic=10_000.0
)


def demand(requests: float = 10.0, **limits: float) -> Demand:
    return Demand(requests, prompt_tokens=10, answer_tokens=100, **limits)


@pytest.mark.parametrize(
    ("asked", "needed", "at_once"),
    [
        (demand(load=1.0), 3, 4),  # 10 / 4 = 2.5
        (demand(load=0.5), 5, 4),  # 10 / 2
        (demand(8.0, load=1.0), 2, 4),  # exactly
        (demand(load=1.0, token_seconds=0.007), 4, 2),  # 10 / 3 = 3.3
        (demand(load=1.0, first_seconds=0.012), 5, 1),  # 10 / 2
        (demand(0.1), 1, 4),
    ],
)
def test_replicas_are_arrivals_over_the_best_rate_within_the_limits(asked: Demand, needed: int, at_once: int) -> None:
    found = replicas(CURVE, asked)
    assert found is not None
    assert (found.replicas, found.point.at_once) == (needed, at_once)


def test_a_limit_that_one_request_alone_misses_has_no_answer() -> None:
    assert replicas(CURVE, demand(token_seconds=0.004)) is None


def test_a_token_takes_what_littles_law_says() -> None:
    assert CURVE[2].token_seconds(100) == pytest.approx(0.010)


def test_a_pass_takes_as_long_as_its_bytes_or_its_operations() -> None:
    assert SIMPLE.pass_seconds(1, 1, 0) == pytest.approx(1.0)  # 1000 bytes at 1000 a second; 0.1 s of operations
    assert SIMPLE.pass_seconds(2, 1, 250) == pytest.approx(1.5)  # 500 more bytes
    assert SIMPLE.pass_seconds(4, 10, 0) == pytest.approx(4.0)  # 2 * 500 * 4 * 10 operations at 10,000 a second


def test_a_curve_of_the_model_shares_a_pass_and_pays_for_each_prompt() -> None:
    asked = Demand(1.0, prompt_tokens=20, answer_tokens=60)
    points = SIMPLE.curve(asked, pass_tokens=1, tokens_per_pass=2.0)
    assert [point.at_once for point in points] == [1, 2, 3, 4]
    # the prompt: 20 tokens are 2 s of operations; the pass at 2 rows: 1000 + 2 * 50 bytes are 1.1 s
    assert points[1].first_seconds == pytest.approx(3.1)
    assert points[1].requests_per_second == pytest.approx(1 / (60 / 2 * 1.1 / 2 + 2.0))


def test_more_than_the_capacity_is_refused() -> None:
    with pytest.raises(CurveError, match="at most 100 tokens in this recipe, got 110"):
        SIMPLE.curve(demand(), pass_tokens=1, tokens_per_pass=1.0)


def test_a_replica_is_what_the_recipe_says_on_the_ceilings() -> None:
    table = yaml.safe_load((ROOT / "build" / "8b.yaml").read_text(encoding="utf-8"))["tensorrt"]
    entry = table["RTX4090-24G"]
    found = replica(ROOT / "build" / "8b.yaml", "RTX4090-24G")
    assert entry["precision"] == "fp8" and found.weights == entry["weights_gb"] * 1e9
    assert found.parameters == pytest.approx(table["L40S-48G"]["weights_gb"] * 1e9 / 2)  # of 16 bits, all of them
    assert found.token_bytes * entry["capacity"] == pytest.approx(entry["kv_gb_per_slot"] * 1e9)
    assert found.bandwidth == pytest.approx(CEILINGS["RTX4090-24G"].bandwidth * REACHED_BANDWIDTH)
    assert found.arithmetic == pytest.approx(CEILINGS["RTX4090-24G"].in_8_bits * REACHED_ARITHMETIC)


def test_every_gpu_of_the_recipes_has_its_ceilings() -> None:
    recipes = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in (ROOT / "build").glob("*.yaml")]
    assert {gpu for recipe in recipes for gpu in recipe.get("tensorrt", {})} == set(CEILINGS)


def test_a_measured_curve_is_read(tmp_path: Path) -> None:
    hardware = {"model": "m", "precision": "p", "engine": "e", "cores": 2}
    row = {"choice": "auto", "concurrency": 8, "first_p50_ms": 20.0, "tokens_per_second": {"median": 400.0}}
    (path := tmp_path / "c.json").write_text(json.dumps({"hardware": hardware, "measured_at": "now", "rows": [row]}))
    assert curve(path, "auto", demand()) == ("auto, measured now: m in p, e, 2 cores", [Point(8, 0.02, 4.0)])
    with pytest.raises(CurveError, match="has no mode 'other', only: auto"):
        curve(path, "other", demand())
    path.write_text("{}")
    with pytest.raises(CurveError, match=r"is no concurrency\.json of make perf"):
        curve(path, "auto", demand())


EXAMPLES = re.findall(r"python -m scripts\.capacity ([^\n]*)\n```\n\n```text\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize(("words", "said"), EXAMPLES, ids=["measured", "modelled"])
def test_an_example_of_the_page_says_what_it_says(words: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(shlex.split(words)) == 0
    assert capsys.readouterr().out == said


def test_limits_that_cannot_be_kept_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--requests", "1", "--answer", "100", "--gpu", "L40S-48G", "--token-ms", "1"]
    assert main(words) == 1
    assert capsys.readouterr().out.splitlines()[1].startswith("no number of replicas keeps the limits: with 1 at once")


@pytest.mark.parametrize(
    "words", ["--requests 0 --answer 1", "--requests 1 --answer 0", "--requests 1 --answer 1 --load 2"]
)
def test_values_that_mean_nothing_are_refused(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(words.split())
    assert "invalid" in capsys.readouterr().err


def test_a_mode_with_blocks_is_modelled_once_it_is_said_what_a_pass_adds(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--requests", "1", "--answer", "100", "--gpu", "H200", "--mode"]
    assert main([*words, "diffusion"]) == main([*words, "selfspec", "--tokens-per-pass", "3"]) == 1
    errors = capsys.readouterr().err.splitlines()
    assert errors[0].startswith("error: --mode diffusion needs --tokens-per-pass")
    assert errors[1].endswith("with --gpu, got selfspec")
    assert main([*words, "diffusion", "--tokens-per-pass", "3"]) == 0


def test_without_limits_any_time_will_do() -> None:
    assert demand().first_seconds == demand().token_seconds == math.inf
