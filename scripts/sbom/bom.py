"""The packages as a CycloneDX document, by CycloneDX's own library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cyclonedx.factory.license import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from .installed import Package
from .vendored import Vendored

PROJECT = "trimode"
BASE_LICENCE = "NVIDIA Deep Learning Container License"


def component_of(package: Package) -> Component:
    """Describe a package: the project itself as the application, another one as a library."""
    made = Component(
        name=package.name,
        version=package.version,
        type=ComponentType.APPLICATION if package.name == PROJECT else ComponentType.LIBRARY,
        bom_ref=f"{package.name}=={package.version}",
        purl=PackageURL("pypi", name=package.name, version=package.version),
    )
    if package.licence:
        made.licenses.add(LicenseFactory().make_from_string(package.licence))
    if package.address.startswith("http"):
        made.external_references.add(ExternalReference(type=ExternalReferenceType.WEBSITE, url=XsUri(package.address)))
    return made


def copied(one: Vendored) -> Component:
    """Describe a library that is copied into the project."""
    made = Component(
        name=one.name,
        version=one.version,
        type=ComponentType.LIBRARY,
        bom_ref=f"{PROJECT}/{one.name}@{one.version}",
        purl=PackageURL("npm", name=one.name, version=one.version),
    )
    made.licenses.add(LicenseFactory().make_from_string(one.licence))
    made.external_references.add(ExternalReference(type=ExternalReferenceType.WEBSITE, url=XsUri(one.address)))
    return made


def document(packages: Mapping[str, Package], inside: Sequence[Vendored], base: str) -> str:
    """Return the list as JSON of CycloneDX 1.6.

    Args:
        packages: what is installed, the project included.
        inside: what is copied into the project.
        base: the image below, as NAME:TAG or NAME:TAG@DIGEST; what is in it is not listed.
    """
    made = {name: component_of(package) for name, package in sorted(packages.items())}
    bom = Bom()
    bom.metadata.component = made[PROJECT]
    named, _, digest = base.partition("@")
    image, _, tag = named.rpartition(":")
    below = Component(
        name=image, version=f"{tag}@{digest}" if digest else tag, type=ComponentType.CONTAINER, bom_ref=base
    )
    below.licenses.add(LicenseFactory().make_with_name(BASE_LICENCE))
    own = [copied(one) for one in inside]
    bom.components.update([below, *own, *(one for name, one in made.items() if name != PROJECT)])
    for name, package in packages.items():
        bom.register_dependency(made[name], [made[other] for other in sorted(package.needs)])
    bom.register_dependency(made[PROJECT], own)
    return str(JsonV1Dot6(bom).output_as_string(indent=2)) + "\n"
