"""The released configurations and what was published of the models."""

from __future__ import annotations

import math
from typing import Any

import pytest
from trimode_perf.common import published

from tests.support.official_shapes import PARAMETERS, SIZES


@pytest.mark.parametrize(("size", "billions"), [("3b", 3.8), ("8b", 8.9), ("14b", 14.0)])
def test_the_tensors_are_as_many_values_as_the_name_says(size: str, billions: float) -> None:
    shapes = published.tensors(published.CONFIGS[size])
    assert len(shapes) == 9 * published.CONFIGS[size]["num_hidden_layers"] + 3
    assert sum(math.prod(shape) for shape in shapes.values()) / 1e9 == pytest.approx(billions, rel=0.05)


def test_each_size_has_its_own_rope() -> None:
    thetas = {size: config["rope_parameters"]["rope_theta"] for size, config in published.CONFIGS.items()}
    assert thetas == {"3b": 1e6, "8b": 1e6, "14b": 1e9}


def test_the_8b_modes_are_in_line_with_the_figures_by_size() -> None:
    tokens = {row["mode"]: row["tokens_per_forward"] for row in published.MODES_8B}
    drafted = published.SPECULATION_PER_CYCLE["8b"]
    assert tokens["diffusion, block 8, threshold 0.9"] == published.DIFFUSION_PER_FORWARD["8b"]
    assert tokens["linear self-speculation"] == drafted["without adapter"]
    assert tokens["linear self-speculation, adapter"] == drafted["with adapter"]


def test_the_average_is_that_of_the_benchmarks() -> None:
    for row in published.MODES_8B:
        if row["accuracy"] is not None:
            assert len(row["accuracy"]) == len(published.BENCHMARKS)
            assert sum(row["accuracy"]) / len(row["accuracy"]) == pytest.approx(row["average"], abs=0.01)


@pytest.mark.parametrize(("size", "config"), published.CONFIGS.items())
def test_the_released_shapes_are_the_ones_that_the_converter_is_tested_with(size: str, config: dict[str, Any]) -> None:
    assert sum(math.prod(shape) for shape in published.tensors(config).values()) == PARAMETERS[size]
    assert {config[key] == value for key, value in SIZES[size].items() if not key.startswith("rope")} == {True}
