"""What is paired of the samples of peers and of ours, and what the table says of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from trimode_perf.peers import table
from trimode_perf.peers.table import OURS, OURS_INT4, OURS_INT8, Sample, equal_width, rows


def row_of(told: dict[str, Any], peer: str, mode: str) -> dict[str, Any]:
    return next(row for row in told["rows"] if (row["peer"], row.get("mode")) == (peer, mode))


def samples(peer: str, mode: str, seconds: list[float], ids: tuple[int, ...] = (1, 2)) -> list[Sample]:
    """One sample a round, of prompt 0, and one twice as long of prompt 1."""
    return [Sample(r, p, peer, mode, s * (1 + p), ids, 2) for r, s in enumerate(seconds) for p in (0, 1)]


def test_ratios_pair_samples_of_one_prompt_and_round() -> None:
    taken = [
        *samples("it", "autoregressive", [2.0, 20.0, 200.0]),
        *samples(OURS, "autoregressive", [1.0, 10.0, 100.0]),
        *samples(OURS, "self_speculation", [0.5, 5.0, 50.0]),
    ]
    row = row_of({"rows": rows(taken, {"it": "It 1.0"}, {})}, "it", "autoregressive")
    assert row["times_ours"] == {"median": 2.0, "low": 2.0, "high": 2.0}
    assert row["times_our_self_speculation"] == {"median": 4.0, "low": 4.0, "high": 4.0}
    assert (row["about"], row["tokens_per_forward"], row["same_ids"]) == ("It 1.0", 1.0, 1.0)


def test_a_peers_time_is_set_against_its_products() -> None:
    ours = [replace(sample, peer=OURS) for sample in samples("", "diffusion", [1.0])]
    own = [replace(sample, products_seconds=0.5) for sample in samples("it", "diffusion", [1.0])]
    row = row_of({"rows": rows([*ours, *own], {}, {})}, "it", "diffusion")
    assert row["times_products"] == {"median": 3.0, "low": 2.5, "high": 3.5}  # 2 and 4


def test_ids_are_counted_by_prompt() -> None:
    taken = [*samples(OURS, "diffusion", [1.0, 1.0]), *samples("it", "diffusion", [1.0, 1.0])]
    taken[-1] = Sample(1, 1, "it", "diffusion", 1.0, (1, 3), 2)
    row = row_of({"rows": rows(taken, {}, {})}, "it", "diffusion")
    assert row["same_ids"] == 0.5


def test_the_table_has_a_line_for_every_row_and_every_failure() -> None:
    taken = [*samples(OURS, "diffusion", [1.0]), *samples("it", "diffusion", [3.0])]
    hardware = {"model": "toy", "precision": "float32", "processor": "none", "load_average": 0.1}
    results = {
        "rows": rows(taken, {"it": "It 1.0"}, {"bad": "hangs"}), "hardware": hardware, "prompts": 2,
        "max_tokens": 4, "threads": 1, "rounds": 1,
    }  # fmt: skip
    text = table.text(results)
    assert "| It 1.0 | diffusion | 4500.0 (3750.0 to 5250.0) | 3.00 (3.00 to 3.00) |  |  |  | 1.00 | 100% |" in text
    assert "bad failed: hangs" in text


def test_a_peer_with_narrow_weights_is_set_against_ours_in_int8() -> None:
    assert [equal_width(name) for name in ("torch", "llama.cpp BF16")] == [OURS, OURS]
    assert [equal_width(name) for name in ("llama.cpp Q8_0", "llama.cpp, the file itself")] == [OURS_INT8, OURS_INT8]
    assert equal_width("llama.cpp Q4_0") == OURS_INT4
    asked = [
        *samples(OURS, "autoregressive", [1.0]), *samples(OURS_INT8, "autoregressive", [0.5], (7,)),
        *samples("llama.cpp Q8_0", "autoregressive", [2.0], (7,)),
    ]  # fmt: skip
    row = row_of({"rows": rows(asked, {}, {})}, "llama.cpp Q8_0", "autoregressive")
    assert (row["times_ours"]["median"], row["same_ids"]) == (4.0, 1.0)
    alone = rows(samples("llama.cpp Q8_0", "autoregressive", [2.0]), {}, {})
    assert "times_ours" not in alone[0]
    assert "times_our_auto" not in row
