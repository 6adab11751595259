"""The section of a soak and what must hold of it; the bound; the plot."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from trimode.bundle.manifest import WEIGHTS
from trimode.config import ServerConfig
from trimode_perf.soak.bound import bound
from trimode_perf.soak.plot import draw
from trimode_perf.soak.report import claims, name_of, section

from tests.support.toy import manifest


def held(stub: float, files: int = 10) -> dict[str, Any]:
    roles = ("stub", "trimode-serve", "tritonserver", "helpers")
    return {
        "memory_mib": {**dict.fromkeys(roles, 40.0), "stub": stub},
        "files": dict.fromkeys(roles, files),
        "threads": dict.fromkeys(roles, 5),
        "shm_mib": 1.0,
        "requests": 12,
    }


def found(stub: list[float], **more: Any) -> dict[str, Any]:
    return {
        "command": "make soak MINUTES=3",
        "commit": "abc",
        "measured_at": "now",
        "machine": {"cores": 2, "model": "nano", "precision": "float32"},
        "callers": 12,
        "requests": 186,
        "answered": {"a chat, auto": 1200},
        "ways": {"gRPC": 1200},
        "left": 1,
        "slow": 2,
        "refused": 3,
        "wrong": [],
        "lost": [],
        "before": held(100),
        "after": held(300),
        "minutes": [held(mib) for mib in stub],
        "bound_mib": {"weights": 20.0, "prefix cache": 400.0},
        **more,
    }


def failing(record: dict[str, Any]) -> list[str]:
    return [claim.text for claim in claims(record) if not claim.holds]


def test_a_soak_in_order_holds_all() -> None:
    assert failing(found([300, 310, 312])) == []


def test_what_is_wrong_lost_or_grows_is_said() -> None:
    assert failing(found([300, 310, 312], wrong=["x"], lost=["y", "z"])) == [
        "1 answers are wrong, none may be",
        "2 answers are lost, none may be",
    ]
    grown = failing(found([300, 310, 312, 314, 316, 390]))
    assert grown == ["in the last third it grew from 316 to 390 MiB, 64 MiB and 2 % at most"]
    assert failing(found([300, 500, 500])) == ["the stub held 500 MiB, 420 at most"]
    left = failing(found([300, 310, 312], after=held(300, files=100)))
    assert left == [f"{role} has 100 files afterwards, 10 before" for role in ("trimode-serve", "tritonserver", "stub")]


def test_the_section_shows_minutes_kinds_and_the_bound() -> None:
    text = section(found([300.0] * 30))
    assert "1,200 whole answers, 0 wrong, 0 lost" in text
    assert "| a chat, auto | 1,200 |" in text
    assert "| before | 100 | 40 | 40 | 40 | 1.0 | 40 | 20 | 12 |" in text
    assert text.count("| minute ") == 11
    assert "420 MiB, has these parts" in text


def test_each_model_and_precision_has_a_record_of_its_own() -> None:
    machines = (("nano", "float32"), ("nano", "int8"), ("nano-vlm", "float32"), ("smol", "float32"))
    every = [found([300.0], machine={"cores": 2, "model": model, "precision": kind}) for model, kind in machines]
    assert [name_of(one) for one in every] == ["soak", "soak_nano_int8", "soak_pictures", "soak_smol_float32"]
    assert section(every[0]).startswith("\n## Under mixed load\n")
    assert section(every[2]).startswith("\n## Under mixed load with pictures\n")
    assert "(plots/soak_pictures.png)" in section(every[2])


def test_the_bound_is_a_sum_of_parts_that_settings_move() -> None:
    toy = dataclasses.replace(manifest(), files={WEIGHTS: 2**20})
    usual, half = bound(toy, ServerConfig()), bound(toy, ServerConfig(max_slots=8))
    assert usual["weights"] == 1
    assert usual["keys and values"] == 2 * half["keys and values"]
    assert bound(toy, ServerConfig(prefix_cache_mib=0))["prefix cache"] == 0


def test_the_plot_is_written(tmp_path: Path) -> None:
    draw(found([300, 310]), tmp_path / "soak.png")
    assert (tmp_path / "soak.png").read_bytes().startswith(b"\x89PNG")
