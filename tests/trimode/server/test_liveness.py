"""What the supervisor reads of the engine's activity, and when an instance stands still."""

from __future__ import annotations

import pytest
from trimode.metrics import PASSES, RUNNING, WAITING
from trimode.server.liveness import Activity, Standstills

from tests.support.supervised import MALFORMED, lines


def test_the_activity_of_several_instances() -> None:
    text = lines(PASSES, it_0_0=3, it_0_1=4) + lines(RUNNING, it_0_0=0, it_0_1=2) + lines(WAITING, it_0_0=1)
    activity = Activity.read(text)
    assert activity.passes == {"it_0_0": 3, "it_0_1": 4}
    assert activity.requests == {"it_0_0": 1, "it_0_1": 2}
    assert (activity.total_passes, activity.busy) == (7, True)


@pytest.mark.parametrize("rest", MALFORMED)
def test_a_broken_line_is_no_activity(rest: str) -> None:
    with pytest.raises(ValueError):
        Activity.read(f"{PASSES.name}{rest}\n")


def test_lines_of_other_metrics_are_not_read() -> None:
    other = f'# HELP {PASSES.name} Passes\n# TYPE {PASSES.name} counter\n{PASSES.name}_more{{a="b"}} 9\nother many\n'
    assert Activity.read(other + lines(PASSES, it_0_0=3)).passes == {"it_0_0": 3}


def test_no_activity() -> None:
    assert (Activity.read("").total_passes, Activity.read("").busy) == (None, False)


def test_an_instance_stands_still_from_its_last_pass_or_its_first_request() -> None:
    standstills = Standstills()

    def at(now: float, passes: int, requests: int) -> tuple[float, str]:
        return standstills.longest(Activity({"a": now, "b": passes}, {"a": 1, "b": requests}), now)

    assert at(1, passes=5, requests=0) == (0, "b")
    assert at(9, passes=5, requests=0) == (0, "b")  # idle is not still
    assert at(10, passes=5, requests=1) == (1, "b")
    assert at(12, passes=5, requests=1) == (3, "b")
    assert at(13, passes=6, requests=1) == (0, "b")


def test_one_instance_is_left_to_the_canary() -> None:
    standstills, activity = Standstills(), Activity({"a": 5}, {"a": 1})
    assert [standstills.longest(activity, now) for now in (0, 100)] == [(0, ""), (0, "")]
