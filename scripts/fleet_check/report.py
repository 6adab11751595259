"""perf/FLEET.md from its record, and what must hold of it."""

from __future__ import annotations

from typing import Any

from trimode_perf.common.claims import Claim

TIMES = 2.0  # what affinity must be of the hit rate of turns
REQUESTS = 5000  # of a rolling replacement, at least
Found = dict[str, Any]


def claims(router: str, found: Found, requests: int = REQUESTS) -> list[Claim]:
    """Return what must hold of one router's trials."""
    hits, rolled, killed, slow, burst = (
        found[name] for name in ("affinity", "replaced", "killed", "slow", "overloaded")
    )
    return [
        Claim(
            f"{router}: hit rate {hits['affinity']:.0%} by affinity, {hits['in_turns']:.0%} in turns",
            hits["affinity"] >= TIMES * hits["in_turns"] and hits.get("failed", 0) == 0,
        ),
        Claim(
            f"{router}: {rolled['failed']} of {rolled['requests']:,} requests fail while all servers are replaced",
            rolled["failed"] == 0 and rolled["requests"] >= requests,
        ),
        Claim(
            f"{router}: {killed['cut']} of {killed['of_the_victim']} streams of a killed server end with an error, and "
            f"{killed['others_whole']} of {killed['others']} others whole",
            killed["cut"] == killed["of_the_victim"] > 0 and killed["others_whole"] == killed["others"],
        ),
        Claim(
            f"{router}: {killed['answered_after']} of {killed['asked_after']} requests after the kill are answered",
            killed["answered_after"] == killed["asked_after"],
        ),
        Claim(f"{router}: {killed['failed_when_joined']} fail as it joins", killed["failed_when_joined"] == 0),
        Claim(
            f"{router}: {slow['failed']} of {slow['requests']:,} fail beside a slow server that is not given up",
            slow["failed"] == 0 or slow["given_up"] > 0,
        ),
        Claim(
            f"{router}: {burst['lost']} of {burst['burst']} requests of a burst are neither answered nor refused",
            burst["lost"] == 0 and burst["refused"] > 0 and burst["answered_after"] == 200,
        ),
    ]


def page(record: Found) -> str:
    """Return the whole page; `record` has the trials of each router."""
    head = (
        "# Several servers under load\n\n"
        "What `make fleet-check` found with servers of nano behind one address, on loopback.\n"
        "[Several servers](../docs/guides/fleet.md) says how they are set up. All figures are counts and shares. Times "
        "are\nnot here: the machine did other things too.\n"
    )
    return head + "".join(_section(title, found) for title, found in record.items())


def _section(title: str, found: Found) -> str:
    hits, rolled, killed, slow, burst, modes = (
        found[name] for name in ("affinity", "replaced", "killed", "slow", "overloaded", "modes")
    )
    by = ", ".join(f"{name} {count}" for name, count in slow["by"].items())
    given_up = "; its supervisor replaced its backend, with what ran in it" if slow["given_up"] else ""
    named = sorted({str(status) for status in modes["by_name"].values()})
    fields = sorted({str(status) for status in modes["by_field"].values()})
    rows = {
        f"{hits['prefixes']} texts, each the beginning of {hits['turns']} requests": (
            f"hit rate of the prefix caches {hits['affinity']:.1%}; of servers asked in turns {hits['in_turns']:.1%}"
        ),
        f"all servers replaced, one after the other, by {rolled['callers']} callers' requests": (
            f"{rolled['failed']} of {rolled['requests']:,} failed"
        ),
        f"a server killed (SIGKILL) while {killed['streams']} streams ran": (
            f"{killed['cut']} of its {killed['of_the_victim']} streams ended with an error, {killed['others_whole']} "
            f"of the {killed['others']} others whole; {killed['answered_after']} of {killed['asked_after']} requests "
            f"after it answered"
        ),
        "it is started again and joins": f"{killed['failed_when_joined']} failed",
        "r0 stands still for half of the time": (
            f"{slow['failed']} of {slow['requests']:,} failed; answers meanwhile: {by}{given_up}"
        ),
        f"{burst['burst']} requests at once, more than there is room for": (
            f"{burst['answered']} answered, {burst['refused']} refused (429 or 503), {burst['lost']} lost; the servers "
            f"refused {burst['refusals_of_servers']} times"
        ),
        "modes by the field `mode`": f"status {', '.join(fields)}",
        "modes by the model's name, `nano:diffusion`": f"status {', '.join(named)}",
    }
    table = "\n".join(f"| {what} | {came} |" for what, came in rows.items())
    machine = found["hardware"]
    when = (
        f"{found['replicas']} servers, at commit {found['commit']}, on {found['measured_at']}, on {machine['cores']} "
        f"cores and {machine['memory_gib']} GiB of memory\nwithout a GPU."
    )
    return f"\n## {title}\n\n{when}\n\n| what | requests |\n| --- | --- |\n{table}\n"
