"""The typed keywords of the client: they are the table's, and a type checker refuses what the server would refuse."""

from __future__ import annotations

import subprocess
import sys
from typing import get_args

import pytest
from trimode.api.fields import BY_NAME, Mode, ModeName
from trimode_client import Client, Completion, InvalidRequestError, Knobs

from tests.support.layout import ROOT


def test_the_file_is_what_the_table_gives() -> None:
    script = ROOT / "scripts" / "render_knobs.py"
    done = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_names_of_modes_are_the_modes() -> None:
    assert get_args(ModeName) == tuple(Mode)


@pytest.mark.parametrize("name", ["mode", "auto_allow", "accept"])
def test_a_closed_set_is_typed_as_one(name: str) -> None:
    """Field by field: the choices of the table are all in the annotation."""
    hint = Knobs.__annotations__[name].__forward_arg__
    names = {"mode": "ModeName", "auto_allow": "AllowedMode", "accept": "AcceptRule"}
    assert names[name] in hint
    assert BY_NAME[name].choices


def test_a_checker_and_the_client_refuse_a_mode_that_does_not_exist() -> None:
    """`make lint` reports the comments as unused if a type checker would let one of these calls pass."""
    with Client("localhost:1") as client:
        with pytest.raises(InvalidRequestError, match="mode must be one of"):
            client.generate("x", mode="bogus")  # type: ignore[arg-type]
        with pytest.raises(InvalidRequestError, match="accept must be one of"):
            client.revise("x", accept="bogus")  # type: ignore[arg-type]
        with pytest.raises(InvalidRequestError, match="unknown_field"):
            client.generate("x", modus="diffusion")  # type: ignore[call-arg]


def test_what_a_checker_knows_of_an_answer() -> None:
    """`make lint` fails on these lines if a Completion's types are lost."""
    done = Completion("text", "stop", 1, 2)
    reason: str = done.finish_reason
    rate: int | float = done.counters.get("tokens_per_forward", 0)
    assert (reason, rate, done.token_ids) == ("stop", 0, ())
    with pytest.raises(AttributeError):
        done.reason  # type: ignore[attr-defined]  # noqa: B018
