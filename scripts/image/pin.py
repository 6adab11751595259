"""Writes the digest of the base image's tag into build/Dockerfile, asking the registry as Docker does."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from pathlib import Path

MANIFESTS = ", ".join(
    f"application/vnd.{kind}.v{version}+json"
    for kind, version in (
        ("oci.image.index", 1),
        ("docker.distribution.manifest.list", 2),
        ("oci.image.manifest", 1),
        ("docker.distribution.manifest", 2),
    )
)
"""What a digest may be of, an index over architectures first."""
SECONDS = 60.0
FROM = re.compile(r"^FROM ([^/\s]+)/([^:\s]+):\$\{TRITON_TAG\}", re.MULTILINE)
TAG = re.compile(r"^ARG TRITON_TAG=([^@\s]+)(?:@sha256:[0-9a-f]{64})?$", re.MULTILINE)
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class PinError(Exception):
    """The digest cannot be had, and why."""


def token_of(challenge: str) -> str:
    """Fetch the token that a registry asks for with its header WWW-Authenticate.

    Raises:
        PinError: the header does not say where.
    """
    said = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
    if "realm" not in said:
        raise PinError(f"the registry asks for something else than a token: {challenge}")
    rest = "&".join(f"{name}={said[name]}" for name in ("service", "scope") if name in said)
    url = said["realm"] + (("&" if "?" in said["realm"] else "?") + rest if rest else "")
    with urllib.request.urlopen(url, timeout=SECONDS) as answer:
        body = json.load(answer)
    return str(body.get("token") or body["access_token"])


def digest_of(registry: str, repository: str, tag: str) -> str:
    """Ask a registry (with its scheme) for the digest of a tag.

    Raises:
        PinError: it cannot be reached, refuses, or answers no digest.
    """
    url = f"{registry}/v2/{repository}/manifests/{tag}"
    head = {"Accept": MANIFESTS}

    def asked() -> str:
        request = urllib.request.Request(url, headers=head, method="HEAD")
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            return str(answer.headers.get("Docker-Content-Digest", ""))

    try:
        try:
            found = asked()
        except urllib.error.HTTPError as exc:
            if exc.code != 401:
                raise
            head["Authorization"] = f"Bearer {token_of(exc.headers.get('WWW-Authenticate', ''))}"
            found = asked()
    except urllib.error.HTTPError as exc:
        raise PinError(f"{url} is answered {exc.code}") from exc
    except OSError as exc:
        raise PinError(f"{registry} cannot be reached: {getattr(exc, 'reason', exc)}") from exc
    if not DIGEST.fullmatch(found):
        raise PinError(f"{url} is answered without a digest: {found!r}")
    return found


def pin(path: Path, registry: str | None = None) -> str:
    """Write the digest behind the tag, in place of one that is there; return the tag with it.

    Args:
        path: the Dockerfile, whose FROM lines name the registry and the repository.
        registry: another address of it, with its scheme.

    Raises:
        PinError: see `digest_of`; nothing is written then.
    """
    text = path.read_text(encoding="utf-8")
    ((host, repository),) = set(FROM.findall(text))
    (tag,) = TAG.findall(text)
    pinned = f"{tag}@{digest_of(registry or f'https://{host}', repository, tag)}"
    path.write_text(TAG.sub(f"ARG TRITON_TAG={pinned}", text), encoding="utf-8")
    return pinned
