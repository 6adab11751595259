"""What each face of the server adds to Triton's own: gRPC, HTTP, and OpenAI's chat. Each is asked first in turn.

A bare relay is asked too, which passes bytes on and does nothing else: the least that anything in front of Triton adds.

Every figure is of pairs: the same request through the face and on Triton's socket behind it, one after the other.
Autoregressive answers, a token a response: the most responses that an engine can give, so the dearest case.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from typing import Any

import psutil
from trimode.api.tensors import MODEL_NAME
from trimode_client.local_server import Addresses

from ...common.claims import Claim
from ...common.markdown import spread, table
from ...common.progress import Pace
from ...common.statistics import Spread, ratios
from .. import Context, Data, Found, Part
from .behind import Behind, behind, server_at, spent
from .callers import GrpcCaller, HttpCaller, Taken, message
from .relay import relaying

SIDES = ("front", "triton", "relay")
TOKENS = 128  # of a streamed answer
STREAMS = 8
SHORT_ANSWERS = 10  # of one token each, that a round asks of each side
MIN_ROUNDS = 3
CHAT = "/v1/chat/completions"
GENERATE = f"/v2/models/{MODEL_NAME}/generate"
PROMPT = "What is 23 + 2221?"
MS, US = 1e3, 1e6
Run = Callable[[str], tuple[float, int]]
"""Asks one side, and returns its figure and how many answers or responses it is of."""


@dataclass(frozen=True)
class Case:
    """One figure: what is compared, what the difference or ratio may be, and its share of the part's time."""

    name: str
    text: str
    bound: float
    share: float
    unit: str = ""
    """Of the difference front - Triton; a case without one is the ratio front / Triton, of what is better high."""

    def holds(self, median: float) -> bool:
        """Whether a median is within the bound."""
        return median <= self.bound if self.unit else median >= self.bound


CASES = (
    Case("grpc_answer", "an answer over gRPC", 0.5, 0.15, "ms"),
    Case("grpc_response", "a streamed response over gRPC", 150.0, 0.15, "µs"),
    Case("grpc_crowd", f"tokens a second over {STREAMS} gRPC streams", 0.97, 0.3),
    Case("http_answer", "an answer over HTTP", 0.5, 0.1, "ms"),
    Case("chat_first", "the first token of a chat, against generate_stream", 1.0, 0.15, "ms"),
    Case("chat_chunk", "a chunk of a chat, against an event of generate_stream", 50.0, 0.15, "µs"),
)
"""Bounds: of gRPC and chat, those that the project set itself; HTTP's is gRPC's."""


def fields(tokens: int, *, stream: bool) -> dict[str, Any]:
    """Return the request for so many tokens; -1 is no token's id, so that nothing ends an answer before."""
    asked = {"text_input": PROMPT, "mode": "autoregressive", "max_tokens": tokens, "end_id": -1}
    return {**asked, "stream": True} if stream else asked


def chat(model: str, tokens: int) -> dict[str, Any]:
    """Return the chat request for as many tokens, one a chunk."""
    messages = [{"role": "user", "content": PROMPT}]
    asked = {"model": f"{model}:autoregressive", "messages": messages, "max_tokens": tokens, "temperature": 0}
    return {**asked, "stream": True, "ignore_eos": True}


class Bench:
    """Callers of both sides, and the ways to ask them."""

    def __init__(self, at: Addresses, triton: Behind, relay: Addresses, model: str, stack: ExitStack) -> None:
        grpc = dict(zip(SIDES, (at.grpc, triton.grpc, relay.grpc), strict=True))
        http = dict(zip(SIDES, (at.http, triton.http, relay.http), strict=True))
        self._streams = {
            side: [stack.enter_context(closing(GrpcCaller(grpc[side]))) for _ in range(STREAMS)] for side in SIDES
        }
        self._http = {side: stack.enter_context(closing(HttpCaller(http[side]))) for side in SIDES}
        self._model = model

    def runs(self) -> dict[str, Run]:
        """Return how each case asks one side."""
        return {
            "grpc_answer": self._grpc_answer,
            "grpc_response": self._grpc_response,
            "grpc_crowd": self._grpc_crowd,
            "http_answer": self._http_answer,
            "chat_first": lambda side: (MS * self._chat(side, 1).first, 1),
            "chat_chunk": lambda side: per_token(self._chat(side, TOKENS)),
        }

    def _grpc_answer(self, side: str) -> tuple[float, int]:
        asked = message(fields(1, stream=False))
        return of_each([self._streams[side][0].ask(asked) for _ in range(SHORT_ANSWERS)])

    def _grpc_response(self, side: str) -> tuple[float, int]:
        return per_token(self._streams[side][0].ask(message(fields(TOKENS, stream=True))))

    def _grpc_crowd(self, side: str) -> tuple[float, int]:
        asked = message(fields(TOKENS, stream=True))
        taken = together([lambda stream=stream: stream.ask(asked) for stream in self._streams[side]])  # type: ignore[misc]
        return STREAMS * TOKENS / max(one.seconds for one in taken), sum(one.count for one in taken)

    def _http_answer(self, side: str) -> tuple[float, int]:
        return of_each([self._http[side].ask(GENERATE, fields(1, stream=False)) for _ in range(SHORT_ANSWERS)])

    def _chat(self, side: str, tokens: int) -> Taken:
        if side == "front":
            return self._http[side].ask(CHAT, chat(self._model, tokens))
        asked = fields(tokens, stream=True)
        del asked["text_input"]
        asked["messages"] = '[{"role": "user", "content": "' + PROMPT + '"}]'  # a string, as Triton wants it
        return self._http[side].ask(f"{GENERATE}_stream", asked)


def of_each(taken: Sequence[Taken]) -> tuple[float, int]:
    """Return the median milliseconds of answers, and their number."""
    return MS * Spread.of([one.seconds for one in taken]).median, len(taken)


def per_token(taken: Taken) -> tuple[float, int]:
    """Return the microseconds of a whole answer for each of its TOKENS, and the number of its parts.

    Not from the first part to the last: where the machine is busy with something else, all may come at once.
    """
    return US * taken.seconds / TOKENS, taken.count


def together(calls: Sequence[Callable[[], Taken]]) -> list[Taken]:
    """Make the calls at the same time, and return what they give.

    Raises:
        Exception: what one of them raised.
    """
    found: list[Taken | BaseException] = []

    def call(one: Callable[[], Taken]) -> None:
        try:
            found.append(one())
        except BaseException as exc:
            found.append(exc)

    threads = [threading.Thread(target=call, args=(one,)) for one in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in found:
        if isinstance(one, BaseException):
            raise one
    return [one for one in found if isinstance(one, Taken)]


def compare(case: Case, run: Run, pace: Pace, processes: Mapping[str, psutil.Process]) -> Data:
    """Ask every side in every round, each first in turn.

    Returns:
        The spread of each side, that of the pairs with Triton, of front and relay, and the processor time of these.
    """
    found: dict[str, list[float]] = {side: [] for side in SIDES}
    processor, parts = dict.fromkeys(processes, 0.0), dict.fromkeys(processes, 0)
    for number in pace.rounds(MIN_ROUNDS):
        turn = number % len(SIDES)
        for side in (*SIDES[turn:], *SIDES[:turn]):
            process = processes.get(side)
            began = spent(process) if process else 0.0
            value, count = run(side)
            if number < 1:
                continue  # it warms up
            found[side].append(value)
            if process:
                processor[side] += spent(process) - began
                parts[side] += count
        pace.show()
    sides = {side: asdict(Spread.of(found[side])) for side in SIDES}
    return {
        "rounds": len(found["front"]),
        **sides,
        "pairs": _pairs(case, found["front"], found["triton"]),
        "processor_us": US * processor["front"] / parts["front"],
        "relay_pairs": _pairs(case, found["relay"], found["triton"]),
        "relay_processor_us": US * processor["relay"] / parts["relay"],
    }


def _pairs(case: Case, one: list[float], other: list[float]) -> Data:
    """Return the spread of a case's differences or ratios."""
    if not case.unit:
        return asdict(ratios(one, other))
    return asdict(Spread.of([value - beside for value, beside in zip(one, other, strict=True)]))


def measure(context: Context) -> dict[str, Data]:
    """Return a row of each case."""
    with context.server() as at, ExitStack() as stack:
        server = server_at(at.grpc)
        triton = behind(server)
        relay, process = stack.enter_context(relaying(triton))
        bench = Bench(at, triton, relay, context.options.model, stack)
        processes = {"front": server, "relay": process}
        runs, begins, rows = bench.runs(), 0.0, {}
        for case in CASES:
            rows[case.name] = compare(case, runs[case.name], context.pace(begins, begins + case.share), processes)
            begins += case.share
    return {"fronts": {"tokens": TOKENS, "streams": STREAMS, "cases": rows}}


def _added(case: Case, pairs: Data | None) -> str:
    """Return a cell; empty where results are older than the relay."""
    if pairs is None:
        return ""
    return f"{spread(pairs, 0 if case.unit == 'µs' else 2)} {case.unit or 'times'}"


def section(found: Found) -> str:
    """Return what each face adds."""
    fronts = found["fronts"]
    rows = []
    for case in CASES:
        row = fronts["cases"][case.name]
        digits = 0 if case.unit == "µs" or not case.unit else 2
        sides = (spread(row[side], digits) for side in ("front", "triton"))
        added = (_added(case, row.get(pairs)) for pairs in ("pairs", "relay_pairs"))
        spent_us = (f"{row[of]:.0f}" if of in row else "" for of in ("processor_us", "relay_processor_us"))
        rows.append([case.text, *sides, *added, *spent_us, row["rounds"]])
    titles = (
        *("path", "through the front", "Triton's own", "difference or ratio", "that of a bare relay"),
        *("processor time µs", "a bare relay's", "rounds"),
    )
    return f"""## What the server's faces add

Each face against Triton's own socket behind it, in pairs: the same request, one token a response, {fronts["tokens"]} tokens where it is
streamed. The caller is a process on the same cores. Answers and first tokens in ms, responses and chunks in µs,
tokens per second over {fronts["streams"]} streams. Processor time is that of the server's own process for one answer, response or
chunk; it hardly depends on what else the machine does. The bare relay is a process of Python's asyncio that passes
bytes on and reads none of them: a bound below what it adds can be met by nothing that runs so.

{table(titles, rows)}
"""  # noqa: E501


def claims(found: Found) -> list[Claim]:
    """Return how much each face may add."""
    made = []
    for case in CASES:
        median = found["fronts"]["cases"][case.name]["pairs"]["median"]
        if case.unit:
            text = f"{case.text} takes {median:.2f} {case.unit} more than Triton's own, {case.bound:g} at most"
        else:
            text = f"{case.text} are {median:.2f} of Triton's own, {case.bound:g} at least"
        made.append(Claim(text, case.holds(median)))
    return made


PART = Part("fronts", "gRPC, HTTP and OpenAI against Triton's own", ("fronts",), 60, measure, section, claims)
