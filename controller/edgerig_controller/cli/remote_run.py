"""Studies on a controller on another machine: submitted, followed and cancelled from here, read there.

What a study file names (models, data) is resolved on the controller's machine;
relative paths in it are refused there unless they exist.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgerig.errors import EXIT_INTERRUPTED, EXIT_OK

if TYPE_CHECKING:
    from edgerig_controller.cli.control import Control
    from edgerig_controller.cli.options import Context


async def run(context: Context, file: Path, *, reuse: bool, detach: bool, priority: int) -> int:
    """Submits a study file in the caller's name and follows it; returns the exit code.

    Raises:
        StudyProblems: the controller found problems in it.
        EdgerigError: the controller cannot be reached, or refuses.
    """
    from edgerig_controller.cli.control import existing
    from edgerig_controller.cli.reference import read_file

    async with existing(context.home) as control:
        answer = await control.submit(read_file(file), file, reuse=reuse, priority=priority)
        context.out.note(
            f"Study {answer.study_id}: {answer.trial_count} trials, on the controller's machine."
        )
        facts: dict[str, object] = {
            "study_id": answer.study_id,
            "attached": answer.attached,
            "reused_count": answer.reused_count,
            "trial_count": answer.trial_count,
        }
        if detach:
            context.out.text(answer.study_id)
            context.out.note(f"Next: {context.again(f'edgerig watch {answer.study_id}')}")
            context.out.document(facts)
            return EXIT_OK
        return await _follow(context, control, answer.study_id, facts)


async def watch(context: Context, study_id: str) -> int:
    """Follows a study by its id; returns the exit code.

    Raises:
        NotFoundError: there is no such study.
    """
    from edgerig_controller.cli.control import existing

    async with existing(context.home) as control:
        return await _follow(context, control, study_id, {"study_id": study_id})


async def cancel(context: Context, study_id: str) -> int:
    """Cancels a study by its id; returns how many trials that stopped.

    Raises:
        NotFoundError: there is no such study.
    """
    from edgerig_controller.cli.control import existing

    async with existing(context.home) as control:
        return await control.cancel(study_id)


async def _follow(context: Context, control: Control, study_id: str, facts: dict[str, object]) -> int:
    from edgerig_controller.cli import progress

    pressed = await progress.follow_or_leave(control, context.out, study_id, study_id)
    if pressed == 2:
        await progress.cancel_and_wait(control, context.out, study_id, study_id)
    if pressed:
        context.out.document({**facts, "cancelled": pressed == 2, "detached": pressed == 1})
        return EXIT_INTERRUPTED
    async for message in control.watch(study_id):
        counts = {"done_count": message.done_count, "failed_count": message.failed_count}
        context.out.text(
            f"{message.done_count} of {message.trial_count} trials done, {message.failed_count} failed."
        )
        context.out.note(f"On the controller's machine: edgerig results {study_id}")
        context.out.document({**facts, "trial_count": message.trial_count, **counts})
        break
    # Which failures are results is said by the classes, and those are read there.
    return EXIT_OK
