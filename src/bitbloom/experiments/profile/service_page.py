"""The page of a service's profile, from the numbers of profile.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bitbloom.experiments.profile import charts
from bitbloom.experiments.profile.content import Content, Flames, Row, Table, Tile, milliseconds, percent

REST = "HTTP and the rest"
LOOP, OTHER = "event loop: HTTP", "other processes"
ABOUT: Mapping[str, str] = {
    "queue": "from the read request to a free thread",
    "decode": "from the bytes of the file to pixels",
    "model": "preprocessing and the network in ONNX Runtime",
    REST: "connection, reading, routing, response, the client; waiting for the event loop",
    LOOP: "main thread of the process that serves",
    OTHER: "BentoML's supervisor",
}


def content(target: str, record: Mapping[str, Any], latencies: Sequence[float], flames: str, problem: str) -> Content:
    """The whole page."""
    marks = {name: 1000 * record["percentiles"][key] for name, key in (("median", "50"), ("90 %", "90"), ("99 %", "99"))}
    what = f"{record['clients']} clients for {record['seconds']:.0f} s, each with one request at a time ({record['tool']})"
    return Content(
        target=target,
        stage="serve",
        lead=f"The packaged service of {target} on this machine, under {what}.",
        tiles=[
            Tile("requests per second", f"{record['rate']:,.0f}", f"{record['requests']:,} requests, none failed"),
            Tile("mean", f"{milliseconds(record['mean'])} ms", "from request to response"),
            Tile("99 %", f"{marks['99 %']:.1f} ms", "of the requests take less"),
            Tile("CPU", f"{milliseconds(sum(record['cpu'].values()))} ms", "a request, of all processes of the service"),
            Tile("cores in use", f"{record['cores']:.2f}", "by the service"),
        ],
        sections=[
            _table(
                "parts",
                "A request under load",
                "Mean times of the parts, from the service's own histogram; the rest is the mean time of a request without them.",
                ("part", "ms", "of a request", ""),
                record["parts"],
            ),
            charts.bars("request", "A request", "The same numbers.", _milliseconds(record["parts"]), "milliseconds"),
            _table(
                "cpu",
                "CPU time of a request",
                "The kernel's clock of each thread. The time of the threads that compute is divided like their parts above.",
                ("part", "CPU ms", "of all", ""),
                record["cpu"],
            ),
            charts.histogram([1000 * each for each in latencies], marks),
        ],
        flames=Flames("Samples of all processes of the service under a second load of the same size.", flames, problem),
        footer="profile.json beside this page has the numbers.",
    )


def _table(id: str, heading: str, note: str, columns: Sequence[str], parts: Mapping[str, float]) -> Table:
    whole = sum(parts.values()) or 1.0
    rows = [
        Row((part, f"{1000 * seconds:.2f}", percent(seconds / whole), ABOUT.get(part, "")), seconds / whole)
        for part, seconds in parts.items()
    ]
    return Table(id, heading, note, columns, rows, worded=True, shown=True)


def _milliseconds(parts: Mapping[str, float]) -> list[tuple[str, float]]:
    return [(part, 1000 * seconds) for part, seconds in parts.items()]
