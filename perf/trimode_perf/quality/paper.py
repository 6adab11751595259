"""The published figures of Nemotron-Labs-Diffusion 8B (arXiv 2607.05722, Tables 5 to 7 and 10), for orientation."""

from __future__ import annotations

BENCHMARKS = ("GPQA", "IFEval", "MMLU", "HumanEval", "MBPP", "LCB-CPP", "Math500", "GSM8K", "AIME24", "AIME25")

Row = tuple[str, tuple[float, ...] | None, float, float]

MODES: tuple[Row, ...] = (
    ("autoregressive", (44.44, 68.65, 79.85, 80.49, 85.19, 28.85, 88.00, 94.01, 33.33, 33.33), 63.61, 1.00),
    (
        "diffusion, block 8, threshold 0.9",
        (43.94, 68.32, 78.71, 78.66, 83.86, 26.16, 85.80, 93.03, 46.67, 26.67),
        63.18,
        2.57,
    ),
    ("linear self-speculation", None, 62.88, 4.52),
    (
        "linear self-speculation, adapter",
        (40.40, 69.13, 79.01, 81.71, 84.92, 24.89, 87.60, 93.78, 36.67, 30.00),
        62.81,
        5.99,
    ),
    ("quadratic self-speculation", (44.30, 71.00, 79.95, 79.27, 85.19, 27.70, 88.80, 94.16, 33.33, 36.67), 64.04, 6.38),
)
"""Mode, accuracy by benchmark (None where the paper prints none), their average, tokens per forward."""

ACCEPTANCE = {False: 5.46, True: 6.82}
"""Acceptance length on SPEED-Bench at block 32, without and with the adapter."""
