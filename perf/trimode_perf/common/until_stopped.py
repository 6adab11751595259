"""UntilStopped: threads that ask for as long as a block lasts, none dying unheard. Knows nothing of what they ask."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Self


class UntilStopped:
    """Threads that run until they are stopped; the block is left when each has its last answer.

    A thread that dies ends the others too, and the block with what it died of.

    Attributes:
        over: set once they are to end.
    """

    def __init__(self, call: Callable[[int], None], numbers: Iterable[int]) -> None:
        """Make a thread for each number, which runs `call(number)`; that has to look at `over`."""
        self.over = threading.Event()
        self._call, self._died = call, list[BaseException]()
        self._threads = [threading.Thread(target=self._run, args=(number,), daemon=True) for number in numbers]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self.over.set()
        for thread in self._threads:
            thread.join()
        if self._died and kind is None:
            raise self._died[0]

    def _run(self, number: int) -> None:
        try:
            self._call(number)
        except BaseException as exc:
            self._died.append(exc)
            self.over.set()
