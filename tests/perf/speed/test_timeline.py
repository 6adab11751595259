"""The stages of an answer, on a toy engine."""

from __future__ import annotations

from trimode.runtime import Runtime
from trimode_perf.common.prompts import Prompt
from trimode_perf.speed import Context, timeline


def test_the_stages_of_an_answer_add_up_and_leave_the_runtime_as_it_was(
    runtime: Runtime, prompts: list[Prompt], context: Context
) -> None:
    asked = {**prompts[0].fields, "max_tokens": 6}
    before = runtime.generate(asked).text
    stages = timeline._answer(runtime, asked)
    assert sum(stages[name] for name in timeline.STAGES) >= 0.999 * stages["total"]  # the last two stages may overlap
    context.prompts = prompts[:2]
    found = timeline.measure(context)["timeline"]
    for stages in found["modes"].values():
        assert stages["total"] > 0 and min(stages[name] for name in timeline.STAGES) >= 0
        assert stages["passes"] >= 2
    assert found["again"]["check"] > 0
    assert found["again"]["prompt"] > 0
    assert list(found["between"]) == [str(size) for size in timeline.SWEPT_MIB] and min(found["between"].values()) > 0
    assert "between two of them" in timeline.section({"timeline": found})
    del found["between"]
    assert "between two of them" not in timeline.section({"timeline": found})
    assert runtime.generate(asked).text == before
    assert not {"_plan", "_apply", "submit", "attend"} & {*vars(runtime._scheduler), *vars(runtime._queue)}
