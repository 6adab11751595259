"""What reads build/Dockerfile where no Docker runs: the parser, the pins, how a root's pip finds its index.

`make image-check` runs the steps themselves, which needs root and some ten minutes.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from scripts.image.__main__ import main
from scripts.image.build import PipSettings, words_of
from scripts.image.dockerfile import DockerfileError, Mount, filled, mounts_of, read
from scripts.image.pin import pin
from scripts.image.space import Bind
from tests.support.layout import ROOT

SMALL = """# a comment
ARG TAG=1
FROM example.org/base:${TAG} AS build
RUN one \\
    # within a step
    && two
FROM example.org/base:${TAG}
HEALTHCHECK --interval=1s \\
    CMD ["ask", "[x]"]
"""
DIGEST = f"sha256:{'ab' * 32}"


def test_stages_and_steps_are_read(tmp_path: Path) -> None:
    (path := tmp_path / "Dockerfile").write_text(SMALL)
    found = read(path)
    assert [(stage.name, stage.image) for stage in found.stages] == [
        ("build", "example.org/base:1"),
        ("", "example.org/base:1"),
    ]
    assert found.stage("build").of("RUN") == ["one && two"]
    assert words_of(found.final, "HEALTHCHECK") == ["ask", "[x]"]


@pytest.mark.parametrize("text", ["FROM a\nADD x y\n", "RUN x\nFROM a\n"])
def test_what_is_not_read_is_refused(tmp_path: Path, text: str) -> None:
    (path := tmp_path / "Dockerfile").write_text(text)
    with pytest.raises(DockerfileError, match=r"ADD is none of|RUN stands before"):
        read(path)


def test_a_step_says_what_it_mounts() -> None:
    mount = "--mount=type=bind,from=build,source=/a,target=/b "
    assert mounts_of(f"{mount}do it") == ([Mount("build", "/a", "/b")], "do it")
    with pytest.raises(DockerfileError, match="only mounts of another stage's folder are read"):
        mounts_of("--mount=type=cache,target=/b do it")


def test_values_are_put_in_where_there_are_some() -> None:
    assert filled("${A}:${B} $C", {"A": "1", "C": "3"}) == "1:${B} $C"


def test_a_roots_pip_asks_where_this_machines_asks(tmp_path: Path) -> None:
    (index := tmp_path / "index" / "simple").mkdir(parents=True)
    (wheels := tmp_path / "wheels").mkdir()
    listing = f"global.extra-index-url='file://{index} https://example.org/simple'\n:env:.find-links='{wheels}'\n"
    found = PipSettings(f"{listing}install.user='true'\nglobal.cert='/no/such.pem'\n")
    assert found.variables == {
        "PIP_EXTRA_INDEX_URL": f"file://{index} https://example.org/simple",
        "PIP_FIND_LINKS": str(wheels),
        "PIP_CERT": "/no/such.pem",
    }
    assert found.binds == [Bind(index.parent, str(index.parent)), Bind(wheels, str(wheels))]


class Registry(BaseHTTPRequestHandler):
    """A registry that gives digests to those who fetched its token."""

    def do_GET(self) -> None:
        assert self.path == "/token?service=here&scope=repository:nvidia/tritonserver:pull"
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"token": "secret"}')

    def do_HEAD(self) -> None:
        assert isinstance(self.server, ThreadingHTTPServer)
        port = self.server.server_port
        known = self.path.startswith("/v2/nvidia/tritonserver/manifests/26.")
        if self.headers["Authorization"] != "Bearer secret":
            self.send_response(401)
            told = f'Bearer realm="http://127.0.0.1:{port}/token",service="here",scope="repository:nvidia/tritonserver:pull"'
            self.send_header("WWW-Authenticate", told)
        elif known and "application/vnd.oci.image.index.v1+json" in self.headers["Accept"]:
            self.send_response(200)
            self.send_header("Docker-Content-Digest", DIGEST)
        else:
            self.send_response(404)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def registry() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def dockerfile(tmp_path: Path) -> Path:
    return Path(shutil.copy(ROOT / "build" / "Dockerfile", tmp_path / "Dockerfile"))


def test_the_digest_is_written_behind_the_tag_and_once(dockerfile: Path, registry: str) -> None:
    before = read(dockerfile).arguments["TRITON_TAG"].partition("@")[0]
    for _ in range(2):
        assert pin(dockerfile, registry) == f"{before}@{DIGEST}"
        assert {stage.image for stage in read(dockerfile).stages} == {f"nvcr.io/nvidia/tritonserver:{before}@{DIGEST}"}


def test_a_tag_that_the_registry_does_not_have_changes_nothing(
    dockerfile: Path, registry: str, capsys: pytest.CaptureFixture[str]
) -> None:
    dockerfile.write_text(text := dockerfile.read_text().replace("TRITON_TAG=26", "TRITON_TAG=25"))
    assert main(["pin", "--dockerfile", str(dockerfile), "--registry", registry]) == 1
    assert "is answered 404" in capsys.readouterr().err
    assert dockerfile.read_text() == text


def test_a_registry_that_cannot_be_reached_is_said(dockerfile: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = dockerfile.read_text()
    assert main(["pin", "--dockerfile", str(dockerfile), "--registry", "http://127.0.0.1:1"]) == 1
    assert "http://127.0.0.1:1 cannot be reached" in capsys.readouterr().err
    assert dockerfile.read_text() == text


def test_the_script_that_makes_the_debian_parses() -> None:
    assert subprocess.run(["sh", "-n", ROOT / "scripts" / "fetch-debian-root"]).returncode == 0
