"""MetricsSource: what scrapers get at either port: Triton's metrics, those of the fronts, and vLLM's names for them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from ... import __version__
from ...bundle.manifest import Manifest
from ...errors import LostError, TrimodeError
from ...metrics import METRICS, SLOTS, TALLY
from ..access.refusals import Refusals
from ..backend_client import BackendClient
from ..serving import ServingState, lost_error, not_serving, silent_error
from .samples import Samples
from .text import labelled, merged
from .vllm_names import MODEL, families

PATH = "/metrics"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"  # of the text format, which every Prometheus reads
READ_SECONDS = 5.0  # for Triton's metrics; it writes them at once, and Prometheus waits for 10 s
REFUSALS = ("trimode_front_refusals_total", "Requests that the fronts refused by themselves, by face and type of error")
INFO = ("trimode_info", "What is served; always 1")
CACHE_INFO = (
    "vllm:cache_config_info",
    "As vLLM has it: a slot is a block, whose size is the capacity, and those of all instances count; always 1",
)
TALLIED = re.compile(rf"(# (HELP|TYPE) )?trimode_\w+({'|'.join(sorted(TALLY, reverse=True))})[ {{]")
"""Lines of Triton's that are shown as a histogram instead."""


@dataclass(frozen=True)
class Model:
    """What is served, as metrics say it: the name that clients know, and the facts of its bundle."""

    name: str
    manifest: Manifest


@dataclass
class Scraped:
    """A Triton whose metrics are shown: a client of its port for them, whether it serves, and what it serves now."""

    triton: BackendClient
    state: ServingState
    model: Model

    async def read(self) -> str:
        """Return the metrics.

        Raises:
            TrimodeError: there are none to be had now; the text says why.
        """
        try:
            async with self.triton.request("GET", PATH, silence=READ_SECONDS) as answer:
                return (await answer.read()).decode("utf-8", "replace")
        except TrimodeError as exc:
            raise (lost_error(self.state) if isinstance(exc, LostError) else exc) from exc
        except TimeoutError as exc:
            raise silent_error() from exc
        except OSError as exc:
            raise not_serving(self.state) from exc


class MetricsSource:
    """Reads the metrics of each model's Triton and adds what the fronts know."""

    def __init__(self, scraped: Sequence[Scraped], refusals: Refusals) -> None:
        """Show those of `scraped`, and the `refusals` that the fronts count."""
        self._scraped = scraped
        self._refusals = refusals

    async def read(self) -> tuple[bytes, str]:
        """Return the metrics and their content type; of several models, those that can be read.

        Raises:
            TrimodeError: there are none to be had now; the text says why.
        """
        read = await asyncio.gather(*(one.read() for one in self._scraped), return_exceptions=True)
        found = [(one.model, text) for one, text in zip(self._scraped, read, strict=True) if isinstance(text, str)]
        if errors := [error for error in read if isinstance(error, BaseException)]:
            wrong = next((error for error in errors if not isinstance(error, TrimodeError)), None)
            if wrong is not None or not found:
                raise wrong or errors[0]
        # in a thread, since streams go on meanwhile: parsing takes milliseconds
        return await asyncio.to_thread(self.shown, found, self._refusals.counts()), CONTENT_TYPE

    def shown(self, found: Sequence[tuple[Model, str]], refusals: dict[tuple[str, str], int]) -> bytes:
        """Return what is shown for Triton's text of each model: all but the tallies, then what is added."""
        registry = CollectorRegistry()
        several = len(self._scraped) > 1
        read = [(model, Samples.read(text)) for model, text in found]
        registry.register(_Added(read, refusals, several=several))
        texts = [labelled(text, MODEL, model.name) if several else text for model, text in found]
        kept = (line for line in merged(texts) if not TALLIED.match(line))
        return "".join(kept).encode() + generate_latest(registry)


class _Added(Collector):
    """The families that are added to Triton's; where models are `several`, each sample has its model's name."""

    def __init__(
        self, read: Sequence[tuple[Model, Samples]], refusals: dict[tuple[str, str], int], *, several: bool
    ) -> None:
        self._read = read
        self._refusals = refusals
        self._several = several

    def collect(self) -> Iterator[Family]:
        """Give each family."""
        for metric in METRICS:
            if metric.tallied:
                own = [MODEL] if self._several else []
                family = HistogramMetricFamily(metric.name, metric.help, labels=[*own, *metric.labels])
                for model, samples in self._read:
                    named = [model.name] if self._several else []
                    for labels, histogram in samples.histograms(metric).items():
                        family.add_metric([*named, *labels], histogram.cumulative(), histogram.total)
                yield family
        refused = CounterMetricFamily(*REFUSALS, labels=["face", "error_type"])
        for labels, count in self._refusals.items():
            refused.add_metric(labels, count)
        yield refused
        of_all: dict[str, Family] = {}
        for model, samples in self._read:
            for one in (*_facts(model, samples), *families(samples, model.name)):
                if one.name in of_all:
                    of_all[one.name].samples += one.samples
                else:
                    of_all[one.name] = one
        yield from of_all.values()


def _facts(model: Model, samples: Samples) -> Iterator[Family]:
    manifest = model.manifest
    shown = {
        "version": __version__,
        "model": model.name,
        "modes": ",".join(manifest.modes),
        "engine": manifest.runtime,
        "precision": manifest.precision,
    }
    info = GaugeMetricFamily(*INFO, labels=list(shown))
    info.add_metric(list(shown.values()), 1)
    yield info
    if not (slots := samples.values(SLOTS, {})):
        return  # no instance has said yet how many it has
    cache = GaugeMetricFamily(*CACHE_INFO, labels=[MODEL, "block_size", "num_gpu_blocks"])
    cache.add_metric([model.name, str(manifest.capacity), str(int(sum(slots)))], 1)
    yield cache
