"""What the dashboards show: an overview, a request's life, drafts and their acceptance, capacity.

`WHICH` stands in each expression for the servers that the reader has chosen.
"""

from __future__ import annotations

from dataclasses import dataclass

WHICH = 'job=~"$job",instance=~"$instance"'
WINDOW = "$__rate_interval"
PERCENTILES = (0.5, 0.95, 0.99)


@dataclass(frozen=True)
class Query:
    """An expression, and the name of each of its lines."""

    expr: str
    legend: str


@dataclass(frozen=True)
class Panel:
    """One picture. `unit` is Grafana's name of it: s, reqps, percentunit, bytes, short."""

    title: str
    about: str
    unit: str
    queries: tuple[Query, ...]
    kind: str = "timeseries"


@dataclass(frozen=True)
class Board:
    """A page of panels."""

    name: str
    title: str
    about: str
    panels: tuple[Panel, ...]


def rate(metric: str, by: str, more: str = "") -> str:
    """Return the growth of a counter a second, summed by labels."""
    return f"sum by ({by}) (rate({metric}{{{WHICH}{more}}}[{WINDOW}]))"


def gauge(metric: str, by: str, more: str = "") -> str:
    """Return a gauge, summed by labels."""
    return f"sum by ({by}) ({metric}{{{WHICH}{more}}})"


def percentiles(metric: str) -> tuple[Query, ...]:
    """Return the median and the upper percentiles of a histogram, over all modes."""
    return tuple(
        Query(f"histogram_quantile({share}, {rate(f'{metric}_bucket', 'le')})", f"p{share * 100:g}")
        for share in PERCENTILES
    )


def by_mode(metric: str, share: float) -> Query:
    """Return one percentile of a histogram for each mode."""
    return Query(f"histogram_quantile({share}, {rate(f'{metric}_bucket', 'le, mode')})", "{{mode}}")


def mean(metric: str) -> str:
    """Return the mean of a histogram, over all modes."""
    return f"sum(rate({metric}_sum{{{WHICH}}}[{WINDOW}])) / sum(rate({metric}_count{{{WHICH}}}[{WINDOW}]))"


def life(title: str, metric: str, about: str) -> Panel:
    """Return the percentiles of one part of a request's life."""
    return Panel(title, about, "s", percentiles(metric))


OVERVIEW = Board(
    "overview",
    "overview",
    "What is served, how much is asked, and how it ends.",
    (
        Panel("Servers", "Servers that answer Prometheus.", "short", (Query(f"sum(up{{{WHICH}}})", "up"),), "stat"),
        Panel(
            "Served",
            "Model, engine and version of each server.",
            "short",
            (Query(f"trimode_info{{{WHICH}}}", ""),),
            "table",
        ),
        Panel(
            "Requests at once",
            "Those that hold a slot, and those that wait for one.",
            "short",
            (
                Query(gauge("trimode_requests_running", "instance"), "{{instance}} running"),
                Query(gauge("trimode_requests_waiting", "instance"), "{{instance}} waiting"),
            ),
        ),
        Panel(
            "Requests by mode",
            "Requests answered a second.",
            "reqps",
            (Query(rate("trimode_requests_total", "mode"), "{{mode}}"),),
        ),
        Panel(
            "Requests by outcome",
            "overloaded: the queue was full; deadline: timeout_ms ran out; error: the server failed.",
            "reqps",
            (Query(rate("trimode_requests_total", "outcome"), "{{outcome}}"),),
        ),
        Panel(
            "Refused by the fronts",
            "Requests that never reached the model, by the type of their error.",
            "reqps",
            (Query(rate("trimode_front_refusals_total", "face, error_type"), "{{face}} {{error_type}}"),),
        ),
        Panel(
            "Tokens a second",
            "Tokens of answers, and of the prompts before them, counted when an answer ends.",
            "short",
            (
                Query(rate("trimode_output_tokens_total", "mode"), "{{mode}} answers"),
                Query(rate("trimode_prompt_tokens_total", "mode"), "{{mode}} prompts"),
            ),
        ),
        Panel(
            "First text, 95th percentile",
            "From arrival to the first chunk.",
            "s",
            (by_mode("trimode_first_chunk_seconds", 0.95),),
        ),
        Panel(
            "Whole answer, 95th percentile",
            "From arrival to the end.",
            "s",
            (by_mode("trimode_request_seconds", 0.95),),
        ),
    ),
)

REQUEST = Board(
    "request",
    "a request's life",
    "Where the time of a request goes, by percentiles over all modes.",
    (
        life("1. In the queue", "trimode_queue_seconds", "From arrival to a slot."),
        life("2. Prompt", "trimode_prefill_seconds", "From a slot to the first token."),
        life("First text", "trimode_first_chunk_seconds", "From arrival to the first chunk: 1 and 2 together."),
        life("3. Decoding", "trimode_decode_seconds", "From the first token to the last."),
        life("Between chunks", "trimode_inter_chunk_seconds", "Pauses of a stream."),
        life("Between tokens", "trimode_inter_token_seconds", "Tokens of one pass share its time."),
        life("Time of a token", "trimode_time_per_output_token_seconds", "A mean of each request."),
        life("In the engine", "trimode_inference_seconds", "From a slot to the last token: 2 and 3 together."),
        life("Whole answer", "trimode_request_seconds", "From arrival to the end."),
        Panel(
            "Tokens of a request",
            "Means of the prompt, the answer, and what was asked for at most.",
            "short",
            (
                Query(mean("trimode_request_prompt_tokens"), "prompt"),
                Query(mean("trimode_request_output_tokens"), "answer"),
                Query(mean("trimode_request_max_tokens"), "max_tokens"),
            ),
        ),
    ),
)

DRAFTS = Board(
    "drafts",
    "drafts and acceptance",
    "What self-speculation and free drafts gain, and what mode auto makes of it.",
    (
        Panel(
            "Accepted",
            "Share of the drafted tokens that verification kept.",
            "percentunit",
            (
                Query(
                    f"{rate('trimode_accepted_draft_tokens_total', 'mode')} / "
                    f"{rate('trimode_draft_tokens_total', 'mode')}",
                    "{{mode}}",
                ),
            ),
        ),
        Panel(
            "Accepted, drafts without a pass",
            "The same of prediction and prompt_lookup.",
            "percentunit",
            (
                Query(
                    f"{rate('trimode_accepted_free_draft_tokens_total', 'source')} / "
                    f"{rate('trimode_free_draft_tokens_total', 'source')}",
                    "{{source}}",
                ),
            ),
        ),
        Panel(
            "Tokens kept of a draft",
            "Verified drafts a second, by how many of their tokens were kept.",
            "short",
            (Query(rate("trimode_verifications_total", "confirmed"), "{{confirmed}}"),),
        ),
        Panel(
            "Tokens by forward pass",
            "Tokens of answers by passes of their requests; 1 is what plain decoding gives.",
            "short",
            (
                Query(
                    f"{rate('trimode_output_tokens_total', 'mode')} / {rate('trimode_forwards_total', 'mode')}",
                    "{{mode}}",
                ),
            ),
        ),
        Panel(
            "Passes by kind",
            "Forward passes of requests a second.",
            "short",
            (Query(rate("trimode_forwards_total", "kind"), "{{kind}}"),),
        ),
        Panel(
            "What auto chose",
            "Cycles a second, by mode and length of the draft.",
            "short",
            (Query(rate("trimode_auto_cycles_total", "mode, block_length"), "{{mode}} {{block_length}}"),),
        ),
        Panel(
            "What a pass takes",
            "As auto expects it, by rows and tokens of a row.",
            "s",
            (
                Query(
                    f"avg by (rows, tokens) (trimode_pass_seconds{{{WHICH}}})",
                    "{{rows}} x {{tokens}}",
                ),
            ),
        ),
    ),
)

CAPACITY = Board(
    "capacity",
    "capacity",
    "How full each server is, and what there is to spare.",
    (
        Panel(
            "Slots in use",
            "Share of the engine's slots; at 1 the next request waits.",
            "percentunit",
            (Query(f"max by (instance) (trimode_slots_used_ratio{{{WHICH}}})", "{{instance}}"),),
        ),
        Panel(
            "Queue",
            "Requests that wait. Autoscaling goes by this.",
            "short",
            (Query(gauge("trimode_requests_waiting", "instance"), "{{instance}}"),),
        ),
        Panel(
            "Engine passes",
            "Calls of the engine a second. None while requests run: the engine is stuck.",
            "short",
            (Query(rate("trimode_engine_passes_total", "instance"), "{{instance}}"),),
        ),
        Panel(
            "Prefix cache, hit rate",
            "Share of the prompts' tokens that were not read again.",
            "percentunit",
            (
                Query(
                    f"{rate('trimode_prefix_cache_hits_total', 'instance')} / "
                    f"{rate('trimode_prefix_cache_queries_total', 'instance')}",
                    "{{instance}}",
                ),
            ),
        ),
        Panel(
            "Prefix cache, memory",
            "What it holds.",
            "bytes",
            (Query(gauge("trimode_prefix_cache_bytes", "instance"), "{{instance}}"),),
        ),
        Panel(
            "Memory of the machine",
            "In use, of all that there is. A container's own is in the kubelet's metrics.",
            "percentunit",
            (
                Query(
                    f"nv_cpu_memory_used_bytes{{{WHICH}}} / nv_cpu_memory_total_bytes{{{WHICH}}}",
                    "{{instance}}",
                ),
            ),
        ),
        Panel(
            "Processors of the machine",
            "Share that is in use.",
            "percentunit",
            (Query(f"nv_cpu_utilization{{{WHICH}}}", "{{instance}}"),),
        ),
        Panel(
            "Tokens a second and server",
            "What each server gives; compare it with what it gave in your own measurement.",
            "short",
            (Query(rate("trimode_output_tokens_total", "instance"), "{{instance}}"),),
        ),
    ),
)

BOARDS = (OVERVIEW, REQUEST, DRAFTS, CAPACITY)
