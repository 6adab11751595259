"""Every process of the server is killed, stopped and ended in the middle of answers; it serves again by itself."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.faults.callers import CHAT, SHORT, WAYS, Asking, Crowd, over_http, seconds_to_serve
from tests.faults.conftest import Record
from tests.faults.left import Belongings, reapers, started_with
from tests.server.server import Server, runs, template_workers, wait_until

KILL, STOP, TERM = signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM
STARTS, RECORDED_STARTS = 6, 20
"""How many starts are cut short, each later than the one before."""
VICTIMS: dict[str, Callable[[Server], psutil.Process]] = {
    "tritonserver": lambda server: server.triton,
    "stub": lambda server: server.stub,
    "reaper": lambda server: reapers(server)[0],
    "template worker": lambda server: template_workers(server)[0],
}


@pytest.mark.parametrize("number", [KILL, STOP, TERM], ids=lambda number: number.name)
@pytest.mark.parametrize("victim", VICTIMS)
def test_a_process_is_hurt_in_the_middle_of_answers(
    bundle: Path,
    starter: Callable[..., Server],
    right: dict[str, str],
    record: Record,
    victim: str,
    number: signal.Signals,
) -> None:
    """A server of its own each time: the pause before a restart grows with the failures before."""
    server = starter(bundle)
    before = {server.triton, server.stub}
    assert over_http(server, CHAT).text == right["chat"]  # the first chat starts the template worker
    asking = {way: Asking(server, way) for way in WAYS}
    hurt = VICTIMS[victim](server)
    since = time.monotonic()
    hurt.send_signal(number)
    for way, asked in asking.items():
        answer = asked.answer()
        answer.check(right["long"])
        seconds = seconds_to_serve(server, way, right["short"], since)
        chats = seconds_to_serve(server, way, right["chat"], since, CHAT)
        stopped = seconds if takes_part(victim, number) else None
        record(f"{number.name} to {victim}", way, stopped, answer=answer.error_type or "whole")
        if victim == "template worker":
            record(f"{number.name} to {victim}, chats", way, chats)
        if not takes_part(victim, number):
            assert answer.whole
    if victim == "reaper":
        wait_until(lambda: [one.pid for one in reapers(server)] not in ([hurt.pid], []), lambda: "no other reaper")
    if takes_part(victim, number):
        wait_until(lambda: not runs(hurt), lambda: f"{hurt} is left")
        assert before.isdisjoint({server.triton, server.stub})
    else:
        assert before == {server.triton, server.stub}
    assert server.stop() == 0


def takes_part(victim: str, number: signal.Signals) -> bool:
    """Whether running answers depend on it. Triton's stub does not heed SIGTERM."""
    return victim not in ("reaper", "template worker") and (victim, number) != ("stub", TERM)


def test_the_backend_is_killed_again_and_again_under_load(
    server: Server, right: dict[str, str], record: Record
) -> None:
    server.settle()
    with Crowd(server, SHORT, right["short"]) as crowd:
        for _ in range(3):
            already = crowd.answered
            wait_until(lambda: crowd.answered > already, lambda: f"nothing is answered: {crowd.errors}")  # noqa: B023
            since = time.monotonic()
            server.stub.kill()
            wait_until(lambda: not server.ready(), lambda: "still ready")
            server.wait_ready()
            record("SIGKILL to stub under load of 4 callers", "both", time.monotonic() - since)
    assert crowd.answered


def test_somebody_else_ends_tritonserver_under_load(server: Server, right: dict[str, str]) -> None:
    """Callers hear that the server cannot serve now, and nothing else."""
    server.settle()
    with Crowd(server, SHORT, right["short"]) as crowd:
        wait_until(lambda: crowd.answered > 3, lambda: "nothing is answered")
        server.triton.terminate()
        wait_until(lambda: not server.ready(), lambda: "still ready")
        server.wait_ready()
        already = crowd.answered
        wait_until(lambda: crowd.answered > already, lambda: "nothing is answered")
    assert set(crowd.errors) <= {"unavailable", "engine_failed"}


def test_a_killed_reaper_is_replaced_and_then_ends_what_a_killed_server_leaves(
    bundle: Path, starter: Callable[..., Server]
) -> None:
    made = starter(bundle)
    (first,) = reapers(made)
    first.kill()
    wait_until(lambda: [one.pid for one in reapers(made)] not in ([first.pid], []), lambda: "no other reaper")
    belongings = Belongings.of(made)
    assert belongings.folders
    made.kill()
    belongings.wait_gone()


def test_nothing_is_left_of_a_server_that_is_killed_in_the_middle_of_answers(
    bundle: Path, starter: Callable[..., Server]
) -> None:
    made = starter(bundle)
    belongings = Belongings.of(made)
    for way in WAYS:
        Asking(made, way)
    made.kill()
    belongings.wait_gone()


def test_nothing_is_left_of_a_server_that_is_killed_while_it_starts(
    bundle: Path, tmp_path: Path, starter: Callable[..., Server], request: pytest.FixtureRequest
) -> None:
    """At moments spread over the whole of a start: between any two processes, files and ports that it makes."""
    began = time.monotonic()
    whole = starter(bundle)
    seconds = time.monotonic() - began
    whole.stop()
    starts = RECORDED_STARTS if request.config.getoption("--faults-record") else STARTS
    for number in range(starts):
        (temporary := tmp_path / str(number)).mkdir()
        made = starter(bundle, ready=False, TMPDIR=str(temporary))
        time.sleep(seconds * number / (starts - 1))
        belongings = Belongings.of(made)
        made.kill()
        wait_until(lambda: not started_with("TMPDIR", str(temporary)), lambda: "a process is left")
        wait_until(lambda: not list(temporary.iterdir()), lambda: f"{list(temporary.iterdir())}")
        belongings.wait_gone()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_ends_the_server_in_order(
    bundle: Path, starter: Callable[..., Server], right: dict[str, str], number: signal.Signals
) -> None:
    made = starter(bundle, "--exit-timeout", "60")
    belongings = Belongings.of(made)
    asking = [Asking(made, way) for way in WAYS]
    made.process.send_signal(number)
    for asked in asking:
        answer = asked.answer()
        answer.check(right["long"])
        assert answer.whole
    assert made.wait(60) == 0
    belongings.wait_gone()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_second_signal_ends_the_server_at_once_and_callers_hear_that(
    bundle: Path, starter: Callable[..., Server], right: dict[str, str], number: signal.Signals
) -> None:
    made = starter(bundle, "--exit-timeout", "600", "--canary-timeout", "600")
    belongings = Belongings.of(made)
    asking = [Asking(made, way) for way in WAYS]
    made.stub.suspend()  # so that no answer ends by itself
    made.process.send_signal(number)
    wait_until(lambda: "stopping: 2 requests" in made.log.read_text(), lambda: made.log.read_text())
    made.process.send_signal(number)
    for asked in asking:
        answer = asked.answer()
        answer.check(right["long"])
        assert answer.error == "engine_failed: the server stopped before the answer was complete"
    assert made.wait() == 0
    belongings.wait_gone()


def test_two_servers_side_by_side_do_not_touch_each_other(
    server: Server, bundle: Path, starter: Callable[..., Server], right: dict[str, str]
) -> None:
    other = starter(bundle)
    belongings = Belongings.of(other)
    with Crowd(server, SHORT, right["short"], each=1) as crowd:
        wait_until(lambda: crowd.answered > 1, lambda: "nothing is answered")
        assert over_http(other, SHORT).text == right["short"]
        other.kill()
        belongings.wait_gone()
        already = crowd.answered
        wait_until(lambda: crowd.answered > already, lambda: "nothing is answered")
    assert not crowd.errors
