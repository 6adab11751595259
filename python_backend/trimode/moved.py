"""Old module names, kept for one release: `import trimode.output` still works and warns where things are now.

Found only where Python finds no such module itself. Knows names; imports a new module when something of it is asked
for. `python -m trimode.serve` and the other old programs run their new ones. CHANGELOG.md has the same table.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType

MOVED: dict[str, tuple[str, ...]] = {
    "trimode.acceptance": ("trimode.auto.acceptance",),
    "trimode.auto": ("trimode.auto.chooser", "trimode.auto.throughput", "trimode.auto.tuning"),
    "trimode.batching": ("trimode.scheduling.batching", "trimode.scheduling.queue"),
    "trimode.block": ("trimode.decoding.block",),
    "trimode.child": ("trimode.server.process",),
    "trimode.compiled": ("trimode.bundle.compilation",),
    "trimode.cost": ("trimode.auto.cost_curve", "trimode.auto.cost_benchmark"),
    "trimode.effort": ("trimode.api.effort",),
    "trimode.engines.call": (
        "trimode.engines.tensorrt.call",
        "trimode.engines.tensorrt.layout",
        "trimode.engines.tensorrt.buffers",
    ),
    "trimode.engines.cuda": ("trimode.engines.tensorrt.cuda",),
    "trimode.engines.device_cache": ("trimode.engines.tensorrt.cache",),
    "trimode.engines.device_memory": ("trimode.engines.tensorrt.memory",),
    "trimode.engines.onnx_runtime": (
        "trimode.engines.onnx.engine",
        "trimode.engines.onnx.binding",
        "trimode.engines.inputs",
    ),
    "trimode.engines.plan": ("trimode.engines.tensorrt.plan",),
    "trimode.engines.tensorrt_log": ("trimode.bundle.tensorrt_log",),
    "trimode.engines.windows": ("trimode.engines.tensorrt.windows", "trimode.engines.inputs"),
    "trimode.fields": ("trimode.api.fields", "trimode.api.checks"),
    "trimode.gaps": ("trimode.requests.gapped_text", "trimode.requests.seams", "trimode.text.overlap"),
    "trimode.guard": ("trimode.server.guard", "trimode.server.error_answer"),
    "trimode.hole": ("trimode.decoding.infill_state",),
    "trimode.infill": ("trimode.requests.infill", "trimode.requests.gap_search"),
    "trimode.kin": ("trimode.auto.similar_requests",),
    "trimode.modes": ("trimode.decoding.modes.registry",),
    "trimode.modes.autoregressive": ("trimode.decoding.modes.autoregressive",),
    "trimode.modes.choice": ("trimode.decoding.choice",),
    "trimode.modes.diffusion": ("trimode.decoding.modes.diffusion",),
    "trimode.modes.finishing": ("trimode.decoding.review",),
    "trimode.modes.infill": ("trimode.decoding.modes.infill",),
    "trimode.modes.prefill": ("trimode.decoding.prefill",),
    "trimode.modes.refine": ("trimode.decoding.refine",),
    "trimode.modes.revise": ("trimode.decoding.modes.revise", "trimode.decoding.review"),
    "trimode.modes.self_speculation": ("trimode.decoding.modes.self_speculation",),
    "trimode.output": ("trimode.api.answer", "trimode.api.counters"),
    "trimode.params": ("trimode.api.params", "trimode.api.defaults", "trimode.api.fields"),
    "trimode.prefix": ("trimode.scheduling.prefix_cache", "trimode.scheduling.prefix_sharing"),
    "trimode.provisional": ("trimode.scheduling.snapshot",),
    "trimode.repository": ("trimode.server.gpu_repository",),
    "trimode.request_check": ("trimode.server.body_check",),
    "trimode.reveal": (
        "trimode.decoding.reveal",
        "trimode.decoding.reveal_rules.base",
        "trimode.decoding.reveal_rules.entropy",
        "trimode.decoding.reveal_rules.margin",
    ),
    "trimode.revise": ("trimode.requests.revise", "trimode.requests.spans"),
    "trimode.revision": ("trimode.decoding.revise_state",),
    "trimode.sampling": ("trimode.decoding.sampling",),
    "trimode.scheduler": ("trimode.scheduling.scheduler", "trimode.scheduling.queue", "trimode.scheduling.delivery"),
    "trimode.sequence": ("trimode.decoding.sequence",),
    "trimode.serve": ("trimode.server.cli", "trimode.server.ports"),
    "trimode.slots": ("trimode.engines.onnx.slots",),
    "trimode.steering": ("trimode.auto.request_state",),
    "trimode.stop": ("trimode.text.stop_words", "trimode.text.answer_text", "trimode.text.overlap"),
    "trimode.supervisor": ("trimode.server.supervisor", "trimode.server.liveness"),
    "trimode.task": ("trimode.scheduling.job",),
    "trimode.tokenizer": ("trimode.text.tokenizer", "trimode.text.detokenizer", "trimode.text.chat_template"),
    "trimode.triton.live": ("trimode.triton.live_request",),
    "trimode.triton.recent": ("trimode.triton.recent_names",),
    "trimode.triton.tensors": ("trimode.api.tensors", "trimode.triton.arrays"),
    "trimode.tritonserver": ("trimode.server.installation", "trimode.server.ports"),
    "trimode.upstream": ("trimode.server.backend_client",),
    "trimode.vocabulary": ("trimode.text.vocabulary",),
    "trimode_client.commands": ("trimode_client.cli",),
    "trimode_client.commands.chat": ("trimode_client.cli.chat",),
    "trimode_client.commands.compare": ("trimode_client.cli.compare",),
    "trimode_client.commands.gaps": ("trimode_client.cli.infill",),
    "trimode_client.commands.generate": ("trimode_client.cli.generate",),
    "trimode_client.commands.health": ("trimode_client.cli.health",),
    "trimode_client.commands.infill": ("trimode_client.cli.infill",),
    "trimode_client.commands.knobs": ("trimode_client.cli.knobs", "trimode_client.cli.prompt"),
    "trimode_client.commands.revise": ("trimode_client.cli.revise",),
    "trimode_client.commands.screen": ("trimode_client.cli.screen",),
    "trimode_client.commands.texts": ("trimode_client.cli.screen",),
    "trimode_client.commands.usage": ("trimode_client.cli.screen",),
    "trimode_client.commands.watch": ("trimode_client.cli.watch",),
    "trimode_client.demo": ("trimode_client.cli.demo",),
    "trimode_client.patience": ("trimode_client.transports.time_limits",),
    "trimode_client.sse": ("trimode_client.transports.sse",),
    "trimode_client.tensors": ("trimode_client.transports.tensors",),
    "trimode_convert.adapter": ("trimode_convert.checkpoint.adapter",),
    "trimode_convert.attention": ("trimode_convert.graph.attention",),
    "trimode_convert.build": ("trimode_convert.recipe",),
    "trimode_convert.builder": ("trimode_convert.graph.builder",),
    "trimode_convert.bundling": ("trimode_convert.bundle.onnx_bundle",),
    "trimode_convert.config": ("trimode_convert.checkpoint.config",),
    "trimode_convert.engine_build": ("trimode_convert.bundle.tensorrt_bundle",),
    "trimode_convert.folder": ("trimode_convert.atomic_folder",),
    "trimode_convert.head": ("trimode_convert.graph.head",),
    "trimode_convert.linear": ("trimode_convert.graph.linear",),
    "trimode_convert.local_gpu": ("trimode_convert.tensorrt.local_gpu",),
    "trimode_convert.passes": ("trimode_convert.verify.passes",),
    "trimode_convert.planner": ("trimode_convert.tensorrt.footprint",),
    "trimode_convert.precisions": ("trimode_convert.graph.precisions",),
    "trimode_convert.profiles": ("trimode_convert.tensorrt.profiles",),
    "trimode_convert.quantized": ("trimode_convert.graph.quantized_linear",),
    "trimode_convert.reference": ("trimode_convert.verify.numpy_model",),
    "trimode_convert.reference_session": ("trimode_convert.verify.onnx_reference",),
    "trimode_convert.rope": ("trimode_convert.graph.rope",),
    "trimode_convert.rounding": ("trimode_convert.weights.rounding",),
    "trimode_convert.tensor_file": ("trimode_convert.checkpoint.tensor_file",),
    "trimode_convert.tensorrt_build": ("trimode_convert.tensorrt.compiler",),
}
"""Old module -> the modules that have its names now; the first is the one to import."""

RENAMED: dict[str, str] = {
    "trimode.acceptance:Acceptance": "trimode.auto.acceptance:DraftStats",
    "trimode.child:Child": "trimode.server.process:TritonProcess",
    "trimode.compiled:Compiled": "trimode.bundle.compilation:Compilation",
    "trimode.gaps:Sides": "trimode.requests.seams:GapContext",
    "trimode.guard:Backend": "trimode.server.guard:ServingState",
    "trimode.guard:Refusal": "trimode.errors:Refusal",
    "trimode.hole:Hole": "trimode.decoding.infill_state:InfillState",
    "trimode.infill:Infill": "trimode.requests.infill:InfillRequest",
    "trimode.infill:LADDER": "trimode.requests.gap_search:SIZE_LADDER",
    "trimode.kin:Kin": "trimode.auto.similar_requests:SimilarRequests",
    "trimode.kin:marks_of": "trimode.auto.similar_requests:token_buckets",
    "trimode.modes.finishing:counted": "trimode.decoding.review:answer_length",
    "trimode.modes.infill:stretch": "trimode.decoding.modes.infill:tokens_in_window",
    "trimode.modes:steer": "trimode.decoding.modes.registry:switch",
    "trimode.params:FIELDS_OF_TASKS": "trimode.api.fields:FIELDS_OF_OPERATIONS",
    "trimode.params:NOT_OF_TASKS": "trimode.api.fields:NOT_OF_OPERATIONS",
    "trimode.provisional:Snapshot": "trimode.scheduling.snapshot:BlockSnapshot",
    "trimode.revision:Revision": "trimode.decoding.revise_state:ReviseState",
    "trimode.sequence:Sequence": "trimode.decoding.sequence:SequenceState",
    "trimode.serve:EVERYWHERE": "trimode.server.ports:ALL_INTERFACES",
    "trimode.steering:Steering": "trimode.auto.request_state:AutoState",
    "trimode.supervisor:Look": "trimode.server.liveness:Activity",
    "trimode.task:Task": "trimode.scheduling.job:Job",
    "trimode.triton.tensors:cancels": "trimode.triton.arrays:cancel_target",
    "trimode.upstream:LostError": "trimode.errors:LostError",
    "trimode.upstream:Upstream": "trimode.server.backend_client:BackendClient",
    "trimode_client.commands.gaps:split": "trimode_client.cli.infill:split_at_marker",
    "trimode_client.commands.screen:note": "trimode_client.cli.screen:print_note",
    "trimode_client.commands.watch:BELOW": "trimode_client.cli.watch:ROWS_BELOW",
    "trimode_client.patience:Patience": "trimode_client.transports.time_limits:TimeLimits",
    "trimode_client.tensors:dtype_of": "trimode_client.transports.tensors:datatype_of",
    "trimode_convert.bundling:Plan": "trimode_convert.bundle.onnx_bundle:BundleDraft",
    "trimode_convert.bundling:Recipe": "trimode_convert.bundle.onnx_bundle:BundleOptions",
    "trimode_convert.bundling:make_plan": "trimode_convert.bundle.onnx_bundle:make_draft",
    "trimode_convert.engine_build:Engine": "trimode_convert.bundle.tensorrt_bundle:TensorRtBuild",
}
"""Old module:name -> new module:name, where the name changed too."""

PROGRAMS: dict[str, str] = {
    "trimode.serve": "trimode.server",
    "trimode.triton.tensors": "trimode.api.tensors",
    "trimode_client.demo": "trimode_client.cli.demo",
    "trimode_convert.build": "trimode_convert.recipe",
}
"""What `python -m` of an old module runs."""


def find(module: str, name: str) -> object:
    """Return what was `name` in the old `module`.

    Raises:
        AttributeError: it is gone; says where the rest of its module went.
    """
    if (place := RENAMED.get(f"{module}:{name}")) is not None:
        target, _, renamed = place.partition(":")
        return getattr(import_module(target), renamed)
    for target in MOVED[module] if not name.startswith("__") else ():
        found = import_module(target)
        if hasattr(found, name):
            return getattr(found, name)
    places = ", ".join(MOVED[module])
    raise AttributeError(f"module {module!r} has no attribute {name!r}; what it had is in {places} (CHANGELOG.md)")


class _OldModules(MetaPathFinder, InspectLoader):
    """Finds and loads the modules of MOVED."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return a spec for an old module, None for any other."""
        if fullname not in MOVED:
            return None
        is_package = any(other.startswith(f"{fullname}.") for other in MOVED)
        return ModuleSpec(fullname, self, origin=MOVED[fullname][0], is_package=is_package)

    def exec_module(self, module: ModuleType) -> None:
        """Make the old module a place where names are looked up in the new ones."""
        name, place = module.__name__, MOVED[module.__name__][0]
        warnings.warn(f"{name} is now {place}; the old name goes with the next release", DeprecationWarning, 2)
        module.__dict__["__getattr__"] = lambda attribute: find(name, attribute)

    def get_code(self, fullname: str) -> CodeType:
        """Return the program that `python -m` runs."""
        program = PROGRAMS.get(fullname, MOVED[fullname][0])
        text = f"{fullname} is now {program}; the old name goes with the next release"
        lines = (
            "import runpy, sys",
            f"print({text!r}, file=sys.stderr)",
            f"runpy.run_module({program!r}, {{}}, '__main__')",
        )
        return compile("\n".join(lines), f"<{fullname}>", "exec")

    def get_source(self, fullname: str) -> None:
        """There is none."""


def install() -> None:
    """Have old names found from now on; a second call does nothing."""
    if not any(isinstance(finder, _OldModules) for finder in sys.meta_path):
        sys.meta_path.append(_OldModules())
