"""A real server for the tests of deploy/, which run in an environment that has nothing of it: .venv serves."""

from __future__ import annotations

from tests.server.server import Server
from tests.support.layout import ROOT

SERVING = ROOT / ".venv" / "bin" / "python"


class DeployedServer(Server):
    python = str(SERVING)
