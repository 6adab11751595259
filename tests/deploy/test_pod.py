"""The pods of the chart on this machine: what their containers run, with nano, in folders in place of volumes.

A kubelet's part is played by hand: the Job first, then the server, asked where its probes ask. No container is made, so
that the root is read-only and who runs it is checked in the manifest alone.
"""

from __future__ import annotations

import json
import os
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.chart import FOLDER, VALUES, Chart, kind, pod_of
from tests.deploy.served import SERVING
from tests.server.server import Server, free_ports, wait_until
from tests.support.layout import ROOT

NANO = FOLDER / "values" / "nano-cpu.yaml"
ENTRY_POINT = "/opt/nvidia/nvidia_entrypoint.sh"
SECONDS = 600.0  # for a build, or answers up to the capacity: machines are busy
STREAMS = 8
LONGEST = 1900  # tokens of each: near the capacity of 2048, so that no answer ends before the probes were asked
CHECK = """
import json, sys
from pathlib import Path
from trimode.config import ServerConfig
from trimode.server.launch.options import parser
from trimode_convert.cli import parser as converter
for pod in json.load(sys.stdin):
    options = parser().parse_args(pod["serve"])
    Path("model.yaml").write_text(pod["model"])
    Path("empty.yaml").write_text("")
    config = ServerConfig.load(Path("model.yaml"), {})
    assert pod["verify"] is None or config == ServerConfig.load(Path("empty.yaml"), pod["verify"])
    converter().parse_args(pod["build"])
print("parsed")
"""


def entry_point() -> list[str]:
    """What the image starts, behind NVIDIA's own entry point."""
    text = (ROOT / "build" / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    (line,) = (line for line in text.splitlines() if line.startswith("ENTRYPOINT"))
    words: list[str] = json.loads(line.removeprefix("ENTRYPOINT"))
    assert words[:2] == [ENTRY_POINT, "python3"]
    return words[1:]


def image_bundle() -> str:
    """The bundle that the image serves unless it is told otherwise."""
    lines = (ROOT / "build" / "Dockerfile").read_text(encoding="utf-8").splitlines()
    (path,) = (line.partition("=")[2] for line in lines if line.startswith("ENV TRIMODE_BUNDLE="))
    return path


class Volumes:
    """A folder of this machine for each path that a container mounts."""

    def __init__(self, folder: Path, claims: dict[str, Path]) -> None:
        self.folder = folder
        self.claims = claims

    def local(self, pod: dict[str, Any], container: dict[str, Any], word: str) -> str:
        """A word of a command line, with a path of this machine in place of the container's."""
        for mount in container["volumeMounts"]:
            name, _, path = word.rpartition("=") if word.startswith("--") else ("", "", word)
            if path == mount["mountPath"] or path.startswith(f"{mount['mountPath']}/"):
                (volume,) = (one for one in pod["volumes"] if one["name"] == mount["name"])
                claim = volume.get("persistentVolumeClaim", {}).get("claimName")
                place = (self.claims[claim] if claim else self.folder / mount["name"]) / mount.get("subPath", "")
                found = f"{place}{path.removeprefix(mount['mountPath'])}"
                return f"{name}={found}" if name else found
        return word

    def environment(self, pod: dict[str, Any], container: dict[str, Any]) -> dict[str, str]:
        given = {one["name"]: one["value"] for one in container["env"]}
        for name in ("HOME", "TMPDIR"):
            assert self.local(pod, container, given.pop(name)) == str(self.folder / "tmp")
        return {**os.environ, **given, "HOME": str(self.folder / "tmp")}


@pytest.fixture(scope="module")
def manifests(chart: Chart) -> list[dict[str, Any]]:
    return chart.render({"drain": {"preStopSeconds": 1, "longestAnswerSeconds": 600}}, NANO)


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Volumes:
    folder = tmp_path_factory.mktemp("volumes")
    for name in ("tmp", "bundles"):
        (folder / name).mkdir()
    return Volumes(folder, {"trimode-checkpoints": ROOT / "checkpoints", "trimode-bundles": folder / "bundles"})


@pytest.fixture(scope="module")
def built(manifests: list[dict[str, Any]], volumes: Volumes) -> list[str]:
    """What the containers of the Job print, one after the other."""
    pod = pod_of(kind(manifests, "Job"))
    said = []
    for container in (*pod["initContainers"], *pod["containers"]):
        assert container["command"][:2] == [ENTRY_POINT, "python3"]
        words = [volumes.local(pod, container, word) for word in (*container["command"][2:], *container["args"])]
        environment = volumes.environment(pod, container)
        done = subprocess.run([SERVING, *words], env=environment, capture_output=True, text=True, timeout=SECONDS)
        assert done.returncode == 0, done.stdout + done.stderr
        said.append(done.stdout)
    return said


@pytest.fixture(scope="module")
def server(manifests: list[dict[str, Any]], volumes: Volumes, built: list[str]) -> Iterator[PodServer]:
    pod = pod_of(kind(manifests, "Deployment"))
    made = PodServer(pod, kind(manifests, "ConfigMap")["data"], volumes)
    try:
        yield made
    finally:
        made.stop()


class PodServer(Server):
    """The pod's server: the image's entry point and the pod's arguments, on free ports of loopback."""

    def __init__(self, pod: dict[str, Any], model: dict[str, str], volumes: Volumes) -> None:
        (self.container,) = pod["containers"]
        self.log = volumes.folder / "log"
        self.http_port, self.grpc_port, self.metrics_port = free_ports(3)
        repository = volumes.folder / "repository" / "nemotron_diffusion"
        for path in (ROOT / "model_repository" / "nemotron_diffusion").rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                (link := repository / path.relative_to(ROOT / "model_repository" / "nemotron_diffusion")).parent.mkdir(
                    parents=True, exist_ok=True
                )
                link.symlink_to(path)
        (mounted,) = (one for one in self.container["volumeMounts"] if one["name"] == "model")
        assert mounted["mountPath"] == "/app/model_repository/nemotron_diffusion/model.yaml"
        (repository / "model.yaml").unlink()
        (repository / "model.yaml").write_text(model[mounted["subPath"]], encoding="utf-8")
        words = [volumes.local(pod, self.container, word) for word in (*entry_point()[1:], *self.container["args"])]
        words[words.index("--model-repository") + 1] = str(repository.parent)
        words = ["127.0.0.1" if word == "0.0.0.0" else word for word in words]
        for name in ("http", "grpc", "metrics"):
            words += [f"--{name}-port", str(getattr(self, f"{name}_port"))]
        environment = volumes.environment(pod, self.container)
        environment["TRIMODE_BUNDLE"] = volumes.local(pod, self.container, image_bundle())
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                [SERVING, *words], stdout=out, stderr=out, env=environment, start_new_session=True
            )

    def wait_started(self) -> None:
        """Wait until the startup probe succeeds."""

        def started() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            return self.probe("startup") == 200

        wait_until(started, self.log.read_text, SECONDS)

    def unready(self) -> bool:
        """Whether the readiness probe fails on a server that still runs."""
        assert self.process.poll() is None, f"it ended before a probe said so:\n{self.log.read_text()}"
        return self.probe("readiness") == 503

    def probe(self, name: str) -> int:
        """The status that a probe gets; 0 without an answer."""
        asked = self.container[f"{name}Probe"]["httpGet"]
        (number,) = (one["containerPort"] for one in self.container["ports"] if one["name"] == asked["port"])
        port = {8000: self.http_port, 8001: self.grpc_port, 8002: self.metrics_port}[number]
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{asked['path']}", timeout=30) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as exc:
            exc.close()
            return exc.code
        except OSError:
            return 0


def test_the_job_builds_a_bundle_and_asks_it_in_every_mode(built: list[str]) -> None:
    assert "same best token 100.0%" in built[0]
    assert all(mode in built[1] for mode in ("autoregressive", "diffusion", "self_speculation"))


def test_the_probes_of_the_server_say_when_it_serves(server: PodServer) -> None:
    server.wait_started()
    assert (server.probe("liveness"), server.probe("readiness")) == (200, 200)
    with urllib.request.urlopen(f"http://127.0.0.1:{server.http_port}/v1/models", timeout=30) as answer:
        assert json.load(answer)["data"][0]["id"] == "nano"


def test_a_pod_that_ends_is_live_and_not_ready_until_its_answers_are_given(server: PodServer) -> None:
    server.wait_started()
    body = {"text_input": "What is 2 + 2?", "max_tokens": LONGEST, "mode": "autoregressive", "min_tokens": LONGEST}
    url = f"http://127.0.0.1:{server.http_port}/v2/models/nemotron_diffusion/generate_stream"
    request = urllib.request.Request(url, data=json.dumps({**body, "stream": True}).encode())
    with ExitStack() as streams, ThreadPoolExecutor(STREAMS) as readers:
        answers = [streams.enter_context(urllib.request.urlopen(request, timeout=SECONDS)) for _ in range(STREAMS)]
        assert all(answer.readline().startswith(b"data:") for answer in answers)
        server.process.terminate()
        rest = [readers.submit(answer.read) for answer in answers]
        wait_until(server.unready, server.log.read_text, SECONDS)
        assert server.probe("liveness") == 200
        assert [b"error" in one.result() for one in rest] == [False] * STREAMS
    assert server.wait(SECONDS) == 0


def test_a_pod_links_its_bundle_to_the_checkpoint_that_the_server_mounts(chart: Chart, tmp_path: Path) -> None:
    """What is written for PyTorch, which is not in this environment: the server itself is started by tests/torch."""
    (tmp_path / "tmp").mkdir()
    volumes = Volumes(tmp_path, {"trimode-checkpoints": ROOT / "checkpoints"})
    given = {"modelName": "nano", "build": {"options": {"capacity": 2048}}}
    pod = pod_of(kind(chart.render(given, FOLDER / "values" / "8b-torch.yaml"), "Deployment"))
    (linker,), (server,) = pod["initContainers"], pod["containers"]
    assert linker["command"][:2] == [ENTRY_POINT, "python3"]
    words = [volumes.local(pod, linker, word) for word in (*linker["command"][2:], *linker["args"])]
    environment = volumes.environment(pod, linker)
    done = subprocess.run([SERVING, *words], env=environment, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    bundle = Path(volumes.local(pod, server, "/bundle"))
    mounted = Path(volumes.local(pod, server, "/checkpoints"))
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert (manifest["runtime"], manifest["precision"], manifest["capacity"]) == ("torch", "bfloat16", 2048)
    links = [path for path in bundle.iterdir() if path.is_symlink()]
    assert links
    assert all(path.resolve().is_relative_to(mounted.resolve()) for path in links)


def test_the_programs_take_the_arguments_of_every_file_of_values(chart: Chart, tmp_path: Path) -> None:
    pods = []
    for path in VALUES:
        found = chart.render({}, path)
        server = pod_of(kind(found, "Deployment"))
        jobs = [pod_of(one) for one in found if one["kind"] == "Job"]
        (builder,) = jobs[0]["initContainers"] if jobs else server["initContainers"]
        pods.append(
            {
                "serve": server["containers"][0]["args"],
                "build": builder["args"],
                "verify": {one["name"]: one["value"] for one in jobs[0]["containers"][0]["env"]} if jobs else None,
                "model": kind(found, "ConfigMap")["data"]["model.yaml"],
            }
        )
    command = [str(SERVING), "-c", CHECK]
    done = subprocess.run(
        command, input=json.dumps(pods), capture_output=True, text=True, cwd=tmp_path, timeout=SECONDS
    )
    assert done.stdout == "parsed\n", done.stderr
