"""AIPerf, in an environment of its own: it asks for chats, reads the server's metrics, and knows its drafts."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.clients.clients import ROOT, ClientsServer

AIPERF = ROOT / ".venv-aiperf" / "bin" / "aiperf"
CHATS = ROOT / "examples" / "texts" / "chats.jsonl"


@pytest.fixture(scope="module")
def out(server: ClientsServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run."""
    if not AIPERF.exists():
        pytest.skip("AIPerf is not installed here: make test-clients makes its environment")
    folder = tmp_path_factory.mktemp("aiperf")
    environment = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
    command = [str(AIPERF), "profile", "--url", server.origin, "--endpoint-type", "chat", "--streaming"]
    command += ["--model", "nano:self_speculation", "--tokenizer", "checkpoints/nano", "--use-server-token-count"]
    command += ["--input-file", str(CHATS), "--custom-dataset-type", "single_turn", "--ui", "none"]
    command += ["--concurrency", "4", "--request-count", "8", "--artifact-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-3000:]
    return folder


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def test_its_section_on_drafts_is_what_generate_counts(server: ClientsServer, out: Path) -> None:
    found = read(out / "profile_export_aiperf.json")
    asked = [json.loads(line)["text"] for line in CHATS.read_text(encoding="utf-8").splitlines()[:8]]
    expected = [
        server.answer(
            messages=[{"role": "user", "content": text}], mode="self_speculation", return_perf_metrics=True,
            return_num_output_tokens=True,
        )
        for text in asked
    ]  # fmt: skip
    assert found["request_count"]["avg"] == 8 and found["error_summary"] == []

    def total(name: str) -> int:
        return sum(int(answer[name]) for answer in expected)

    assert found["spec_decode_accepted_draft_tokens"]["sum"] == total("total_accepted_draft_tokens")
    assert found["spec_decode_draft_tokens"]["sum"] == total("total_draft_tokens")
    assert found["total_spec_decode_steps"]["avg"] == total("verify_forwards")
    assert found["output_sequence_length"]["sum"] == total("num_output_tokens")
    histogram = found["pooled_spec_decode_acceptance_histogram"]
    assert sum(int(at) * count for at, count in histogram.items()) == total("total_accepted_draft_tokens")


def test_it_reads_the_metrics_by_itself(out: Path) -> None:
    assert "trimode_requests_running" in (out / "server_metrics_export.json").read_text(encoding="utf-8")
