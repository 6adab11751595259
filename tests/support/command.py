"""Runs the `trimode` command in this process against the server of a script."""

from __future__ import annotations

from trimode_client.cli.main import main

from tests.support.fake_server import Script, http_server


def run(script: Script, *arguments: str) -> int:
    with http_server(script) as url:
        return main([*arguments, "--url", url, "--protocol", "http"])
