"""A real Prometheus that scrapes one server as job trimode, with the alerts that ship; on loopback alone."""

from __future__ import annotations

import json
import subprocess
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import yaml

from tests.server.server import Server, free_ports, wait_until

SECONDS = 120.0  # for a start, or for a few scrapes: machines are busy


class Watching:
    """One Prometheus; `stop` ends it."""

    def __init__(self, program: Path, server: Server, rules: Path, folder: Path) -> None:
        (self.port,) = free_ports(1)
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(rules)],
            "scrape_configs": [
                {"job_name": "trimode", "static_configs": [{"targets": [f"127.0.0.1:{server.metrics_port}"]}]}
            ],
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
        command = [str(program), f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}"]
        command += [f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=warn"]
        self.log = folder / "log"
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=out, cwd=folder, start_new_session=True)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)

    def get(self, path: str, **query: str) -> Any:
        """The data of an answer of Prometheus' API."""
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=60) as answer:
            return json.load(answer)["data"]

    def values(self, expression: str) -> list[float]:
        """The values of an expression now."""
        return [float(one["value"][1]) for one in self.get("query", query=expression)["result"]]

    def scrapes(self) -> float:
        """How many scrapes of the last ten minutes worked; 0 before it answers."""
        try:
            return sum(self.values('sum_over_time(up{job="trimode"}[10m])'))
        except OSError:
            assert self.process.poll() is None, self.log.read_text()
            return 0

    def wait_scrapes(self, more: int) -> None:
        """Wait for so many scrapes from now on."""
        before = self.scrapes()
        wait_until(lambda: self.scrapes() >= before + more, lambda: f"{self.scrapes()} scrapes", SECONDS)
