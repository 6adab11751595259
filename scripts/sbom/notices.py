"""The packages as THIRD_PARTY_NOTICES: name, version, licence, and the texts that each package carries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .bom import BASE_LICENCE, PROJECT
from .installed import Package
from .vendored import Vendored

RULE = "=" * 100
HEAD = """Third-party notices of {name} {version}

The image stands on {base} ({licence}), whose parts
are not listed here; NVIDIA's image has its own notices. Its build adds the Python binding of the TensorRT in it
(tensorrt-cu13-bindings, NVIDIA's licence). What follows is copied into {name} itself, or is a Python package that is
installed beside it.
"""
NO_TEXT = "The package carries no text of its licence."
APACHE = "The package carries no text of its licence. That of the Apache License, Version 2.0, is:"


def notices(packages: Mapping[str, Package], inside: Sequence[Vendored], base: str, apache: str) -> str:
    """Return the notices as text.

    Args:
        packages: what is installed, the project included.
        inside: what is copied into the project.
        base: the image below, as NAME:TAG.
        apache: the Apache License's text, for packages under it that carry none.
    """
    own = packages[PROJECT]
    parts = [HEAD.format(name=PROJECT, version=own.version, base=base, licence=BASE_LICENCE)]
    for one in inside:
        parts.append(
            f"{RULE}\n{one.name} {one.version}, in {PROJECT}\nLicence: {one.licence}\n{one.address}\n\n{one.text}\n"
        )
    for name, package in sorted(packages.items()):
        if name == PROJECT:
            continue
        parts.append(f"{RULE}\n{name} {package.version}\nLicence: {package.licence or 'see the text'}\n")
        if package.address:
            parts.append(f"{package.address}\n")
        texts = list(dict.fromkeys(package.texts().values()))  # the same text may lie in two places
        if not texts:
            texts = [APACHE, apache.strip()] if "apache" in package.licence.lower() else [NO_TEXT]
        parts += [f"\n{text}\n" for text in texts]
    return "".join(parts)
