"""The table behind the request field `effort`, from the sweep: what each further right answer costs.

Knows results; the runtime's side of the file is trimode/effort.py.
"""

from __future__ import annotations

from typing import Any

from trimode.api.fields import Mode

from .claims import Run


def table(results: dict[str, Any]) -> dict[str, Any]:
    """Return effort.json of `results`: levels of diffusion that share 0 to 1 evenly, the cheapest first.

    A setting is a level if every setting that costs as little or less answers fewer of the claimed domains' prompts.
    """
    swept = [
        run
        for run in results["runs"]
        if (run["mode"], run["precision"], run["prompts"]) == (Mode.DIFFUSION, "float32", "sweep")
    ]
    front: list[Run] = []
    for run in sorted(swept, key=lambda run: (run["all"]["forwards"] / run["all"]["tokens"], -run["all"]["exact"])):
        if not front or run["all"]["exact"] > front[-1]["all"]["exact"]:
            front.append(run)
    return {
        "checkpoint_hash": results["checkpoint"]["hash"],
        "engine": results["settings"]["engine"],
        "prompts": swept[0]["all"]["asked"],
        "levels": [_level(at / len(front), run) for at, run in enumerate(front)],
    }


def _level(effort: float, run: Run) -> dict[str, Any]:
    counts = run["all"]
    return {
        "effort": round(effort, 4),
        **{name: run[name] for name in ("block_length", "denoise_steps", "threshold", "revise_rounds")},
        "accuracy": round(counts["exact"] / counts["asked"], 4),
        "forwards_per_token": round(counts["forwards"] / counts["tokens"], 4),
    }
