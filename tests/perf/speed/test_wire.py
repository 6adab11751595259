"""The leanest clients."""

from __future__ import annotations

import threading
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from trimode_perf.common.progress import MeasureError
from trimode_perf.common.prompts import Prompt
from trimode_perf.speed import wire


def test_a_refusal_over_http_is_an_error() -> None:
    class Refuses(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(400)
            self.end_headers()
            self.wfile.write(b'{"error": "no"}')

        def log_message(self, *args: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Refuses) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        with (
            closing(wire.HttpWire(f"127.0.0.1:{server.server_port}")) as http,
            pytest.raises(MeasureError, match="400"),
        ):
            http.ask(Prompt("d", text="x"), "auto", 5)
        thread.join()
