"""Dashboards for Grafana, from tables of panels: what is asked of Prometheus, and how it is shown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .panels import BOARDS, Board, Panel

WIDTH, HEIGHT = 8, 8  # of a panel, in Grafana's units: a row has 24
COLUMNS = 24 // WIDTH
SOURCE = {"type": "prometheus", "uid": "${source}"}
SCHEMA_VERSION = 39  # of Grafana 11's dashboards; newer releases read it


@dataclass(frozen=True)
class Variable:
    """A choice above the panels: the label's values, all of them at first."""

    name: str
    query: str


VARIABLES = (
    Variable("job", "label_values(trimode_info, job)"),
    Variable("instance", 'label_values(trimode_info{job=~"$job"}, instance)'),
)


def files() -> dict[str, str]:
    """Return the text of each dashboard by its path."""
    return {
        f"grafana/{board.name}.json": json.dumps(dashboard(board), indent=2, ensure_ascii=False) + "\n"
        for board in BOARDS
    }


def dashboard(board: Board) -> dict[str, Any]:
    """Return a dashboard as Grafana imports it."""
    return {
        "uid": f"trimode-{board.name}",
        "title": f"TriMode: {board.title}",
        "description": board.about,
        "tags": ["trimode"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [_source(), *map(_variable, VARIABLES)]},
        "panels": list(_panels(board)),
    }


def _panels(board: Board) -> Iterator[dict[str, Any]]:
    for number, panel in enumerate(board.panels):
        row, column = divmod(number, COLUMNS)
        place = {"x": column * WIDTH, "y": row * HEIGHT, "w": WIDTH, "h": HEIGHT}
        yield {"id": number + 1, "gridPos": place, "datasource": SOURCE, **_shown(panel)}


def _shown(panel: Panel) -> dict[str, Any]:
    targets = [
        {
            "refId": chr(ord("A") + number),
            "datasource": SOURCE,
            "expr": query.expr,
            "legendFormat": query.legend,
            **({"instant": True, "format": "table"} if panel.kind == "table" else {}),
        }
        for number, query in enumerate(panel.queries)
    ]
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": targets,
    }


def _source() -> dict[str, Any]:
    return {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}


def _variable(variable: Variable) -> dict[str, Any]:
    return {
        "name": variable.name,
        "type": "query",
        "datasource": SOURCE,
        "query": variable.query,
        "definition": variable.query,
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }
