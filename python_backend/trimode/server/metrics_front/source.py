"""MetricsSource: what scrapers get at either port: Triton's metrics, those of the fronts, and vLLM's names for them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from ... import __version__
from ...bundle.manifest import Manifest
from ...errors import LostError, TrimodeError
from ...metrics import METRICS, TALLY
from ..access.refusals import Refusals
from ..backend_client import BackendClient
from ..serving import ServingState, lost_error, not_serving, silent_error
from .samples import Samples
from .vllm_names import MODEL, families

PATH = "/metrics"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"  # of the text format, which every Prometheus reads
READ_SECONDS = 10.0  # for Triton's metrics; it writes them at once
REFUSALS = ("trimode_front_refusals_total", "Requests that the fronts refused by themselves, by face and type of error")
INFO = ("trimode_info", "What is served; always 1")
CACHE_INFO = ("vllm:cache_config_info", "As vLLM has it: a slot is a block, whose size is the capacity; always 1")
TALLIED = re.compile(rf"(# (HELP|TYPE) )?trimode_\w+({'|'.join(sorted(TALLY, reverse=True))})[ {{]")
"""Lines of Triton's that are shown as a histogram instead."""


@dataclass(frozen=True)
class Model:
    """What is served, as metrics say it: the name that clients know, and the facts of its bundle."""

    name: str
    manifest: Manifest
    slots: int


class MetricsSource:
    """Reads Triton's metrics and adds what the fronts know."""

    def __init__(self, triton: BackendClient, state: ServingState, model: Model, refusals: Refusals) -> None:
        """Make one.

        Args:
            triton: a client of Triton's port of metrics.
            state: whether a backend serves, to say why there are none.
            model: what is served.
            refusals: what the fronts count.
        """
        self._triton = triton
        self._state = state
        self._model = model
        self._refusals = refusals

    def renew(self, model: Model) -> None:
        """Serve the metrics of another model from now on."""
        self._model = model

    async def read(self) -> tuple[bytes, str]:
        """Return the metrics and their content type.

        Raises:
            TrimodeError: there are none to be had now; the text says why.
        """
        try:
            async with self._triton.request("GET", PATH, silence=READ_SECONDS) as answer:
                content = await answer.read()
        except TrimodeError as exc:
            raise (lost_error(self._state) if isinstance(exc, LostError) else exc) from exc
        except TimeoutError as exc:
            raise silent_error() from exc
        except OSError as exc:
            raise not_serving(self._state) from exc
        text = content.decode("utf-8", "replace")  # streams go on meanwhile: parsing takes milliseconds
        return await asyncio.to_thread(self.shown, text, self._refusals.counts()), CONTENT_TYPE

    def shown(self, text: str, refusals: dict[tuple[str, str], int]) -> bytes:
        """Return what is shown for Triton's text: all but the tallies, then what is added."""
        registry = CollectorRegistry()
        registry.register(_Added(Samples.read(text), self._model, refusals))
        kept = "".join(line for line in text.splitlines(keepends=True) if not TALLIED.match(line))
        return kept.encode() + generate_latest(registry)


class _Added(Collector):
    """The families that are added to Triton's."""

    def __init__(self, samples: Samples, model: Model, refusals: dict[tuple[str, str], int]) -> None:
        self._samples = samples
        self._model = model
        self._refusals = refusals

    def collect(self) -> Iterator[Family]:
        """Give each family."""
        for metric in METRICS:
            if metric.tallied:
                family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
                for labels, histogram in self._samples.histograms(metric).items():
                    family.add_metric(labels, histogram.cumulative(), histogram.total)
                yield family
        refused = CounterMetricFamily(*REFUSALS, labels=["face", "error_type"])
        for labels, count in self._refusals.items():
            refused.add_metric(labels, count)
        yield refused
        yield from _facts(self._model)
        yield from families(self._samples, self._model.name)


def _facts(model: Model) -> Iterator[Family]:
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
    cache = GaugeMetricFamily(*CACHE_INFO, labels=[MODEL, "block_size", "num_gpu_blocks"])
    cache.add_metric([model.name, str(manifest.capacity), str(model.slots)], 1)
    yield cache
