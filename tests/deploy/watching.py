"""A real Prometheus that scrapes one port as job trimode, and a real alertmanager; on loopback alone."""

from __future__ import annotations

import json
import subprocess
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import yaml

from tests.server.server import free_ports, wait_until

SECONDS = 120.0  # for a start, or for a few scrapes: machines are busy


END_SECONDS = 30.0  # for an end in order


def end(process: subprocess.Popen[bytes]) -> None:
    """Terminate a process, and kill it if it does not end in its time."""
    process.terminate()
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(END_SECONDS)


class Watching:
    """One Prometheus; `stop` ends it."""

    def __init__(self, program: Path, target: int, rules: Path, folder: Path, alertmanager: int = 0) -> None:
        """Scrape the port `target`; alerts go to an alertmanager at that port."""
        (self.port,) = free_ports(1)
        receivers = [{"static_configs": [{"targets": [f"127.0.0.1:{alertmanager}"]}]}] if alertmanager else []
        config = {
            "alerting": {"alertmanagers": receivers},
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(rules)],
            "scrape_configs": [{"job_name": "trimode", "static_configs": [{"targets": [f"127.0.0.1:{target}"]}]}],
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
        command = [str(program), f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}"]
        command += [f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=warn"]
        self.log = folder / "log"
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=out, cwd=folder, start_new_session=True)

    def stop(self) -> None:
        end(self.process)

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


class Alerting:
    """One alertmanager that sends each alert at once to a webhook; `stop` ends it."""

    def __init__(self, program: Path, webhook: int, folder: Path) -> None:
        (self.port,) = free_ports(1)
        config = {
            "route": {"receiver": "webhook", "group_wait": "0s", "group_interval": "1s"},
            "receivers": [{"name": "webhook", "webhook_configs": [{"url": f"http://127.0.0.1:{webhook}/"}]}],
        }
        (folder / "alertmanager.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
        command = [str(program), f"--config.file={folder / 'alertmanager.yml'}", f"--storage.path={folder / 'alerts'}"]
        command += [f"--web.listen-address=127.0.0.1:{self.port}", "--cluster.listen-address="]
        self.log = folder / "alertmanager.log"
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=out, cwd=folder, start_new_session=True)

    def stop(self) -> None:
        end(self.process)
