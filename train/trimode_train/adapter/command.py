"""The command line that the programs of adapters share. Knows no recipe and no run."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..training.clock import wall_clock


def recipe_parser(program: str, description: str) -> argparse.ArgumentParser:
    """Return a parser of a recipe and of the run's folder."""
    made = argparse.ArgumentParser(prog=f"python -m trimode_train.adapter.{program}", description=description)
    made.add_argument("recipe", type=Path, metavar="RECIPE", help="the run's YAML file")
    made.add_argument("--out", type=Path, metavar="DIR", help="the run's folder [train/runs/<recipe's name>]")
    return made


def run_parser(program: str, description: str) -> argparse.ArgumentParser:
    """Return a parser that also has what every run of training takes."""
    made = recipe_parser(program, description)
    made.add_argument("--resume", action="store_true", help="continue the run's latest state, if there is one")
    made.add_argument("--minutes", type=float, help="length of the schedule, in place of the recipe's")
    made.add_argument("--until", type=wall_clock, metavar="HH:MM", help="end the schedule by this hour at the latest")
    made.add_argument(
        "--steps", type=int, metavar="N", help="stop after so many steps, without measuring or writing an adapter"
    )
    return made
