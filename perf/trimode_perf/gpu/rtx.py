"""What TensorRT-RTX itself says to a plan on a GPU that no plan of its own is compiled for, such as an H200.

The engine refuses such a plan by its manifest and asks nobody. Here the words are wanted, so TensorRT-RTX is asked.
"""

from __future__ import annotations

from pathlib import Path

from .needs import imported


def asked(bundle: Path, capability: str) -> str | None:
    """Return what came of loading the bundle's plan; None where it is compiled for this compute capability.

    A plan that is loaded is not run: what it would compute is nothing that TensorRT-RTX promises.
    """
    manifests = imported("trimode.bundle.manifest")
    manifest = manifests.Manifest.load(bundle)
    compiled = manifest.compiled
    if capability in compiled.compute_capabilities:
        return None
    plans, errors = imported("trimode.engines.tensorrt.plan"), imported("trimode.errors")
    form = imported("trimode.engines.tensorrt.forms").PlanForm.of_text(manifest)
    place = f"on compute capability {capability}, compiled for {', '.join(compiled.compute_capabilities)}"
    try:
        plans.Plan.load(plans.TensorRt.load(compiled.flavour, bundle, compiled.version), bundle, manifest, form).close()
    except errors.BundleError as exc:  # its words alone: the folder is a temporary one, and building again is no help
        words = str(exc).replace(manifests.rebuild_hint(bundle, manifest), "").replace(f"{bundle}/", "")
        return f"refused {place}: {words.strip()}"
    return f"loaded and not run {place}"
