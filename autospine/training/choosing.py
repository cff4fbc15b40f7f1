"""Which of a work folder's plans a training takes."""

from __future__ import annotations

from autospine.core.workspace import WorkFolder
from autospine.planning.plan import Plan, Plans
from autospine.training.trainer import Trainer

USUAL = "2d_sagittal"  # of a trainer that takes any


def choose_plan(kind: type[Trainer], work: WorkFolder, name: str | None) -> Plan:
    """The one asked for; else the first of the trainer's own that was made; else the only one there is.

    Raises:
        UserError: There is none of that name; names those that there are.
    """
    plans = Plans.load(work.plans)
    there = [plan.name for plan in plans.plans]
    wanted = kind.plans or (USUAL,)
    if name is None:
        made = [each for each in wanted if each in there]
        name = made[0] if made else there[0] if len(there) == 1 else wanted[0]
    return plans.get(name, work.plans)
