"""The text that autospine_plan prints at its end."""

from __future__ import annotations

from autospine.fingerprint.slice_filter import describe as filtering
from autospine.labels.joint import SourceLabels
from autospine.planning.memory import training_seconds
from autospine.planning.plan import Plan
from autospine.planning.run import PlanResult

MINUTES_ON_CPU = 30.0  # suggested there, since whole recipes take days


def describe(outcome: PlanResult, explain: bool = False) -> str:
    """Describe the data set, each plan with its reasons, the folds, and the next command."""
    lines = [*_dataset(outcome), *(_class_weights(outcome) if explain else []), ""]
    for plan in outcome.plans:
        lines += [*_plan(outcome, plan, explain), ""]
    count, reason = len(outcome.splits.folds), outcome.splits.reason
    folds = f"{count} fold{'s' if count > 1 else ''}"
    lines.append(reason if reason.startswith(folds) else f"{folds}, {reason}")
    held_out = len(outcome.splits.held_out)
    if held_out and "held out" not in reason:
        lines.append(f"{held_out} validation case{'s are' if held_out > 1 else ' is'} never trained on")
    lines += _ending(outcome)
    return "\n".join(lines)


def _dataset(outcome: PlanResult) -> list[str]:
    fingerprint = outcome.fingerprint
    sequences = ", ".join(f"{name} {count}" for name, count in fingerprint.sequences.items())
    spacing = " x ".join(f"{v:.2f}" for v in fingerprint.median_spacing)
    shape = " x ".join(str(v) for v in fingerprint.median_shape)
    lines = [
        f"{len(fingerprint.training)} training cases of {len(fingerprint.patients)} patients ({sequences}), labels in "
        f"scheme {fingerprint.scheme.name}",
        f"median {shape} voxels (slices x rows x columns) of {spacing} mm",
    ]
    for labels in fingerprint.ordered_labels:
        lines.append(
            f"{len(labels.values)} {labels.kind.value} labels are ordered along the spine, "
            f"{labels.intervertebral_distance_mm:.1f} mm apart"
        )
    lines += [_mapping(outcome, source) for source in _sources(outcome)]
    return lines + [f"note: {warning}" for warning in fingerprint.warnings]


def _sources(outcome: PlanResult) -> tuple[SourceLabels, ...]:
    fingerprint = outcome.fingerprint
    kinds = tuple({anatomy.kind: None for anatomy in sorted(fingerprint.scheme.anatomies.values())})
    return fingerprint.sources or (SourceLabels("", fingerprint.scheme, kinds),)


def _mapping(outcome: PlanResult, source: SourceLabels) -> str:
    """Describe what the integers of a data set mean, of those that its masks show."""
    fingerprint = outcome.fingerprint
    cases = [case for case in fingerprint.training if case.source == source.name]
    shown = {fingerprint.scheme.anatomies.get(value) for case in cases for value in case.centroids}
    labels = [
        f"{value} {anatomy.name}" for value, anatomy in sorted(source.scheme.anatomies.items()) if anatomy in shown
    ]
    line = f"labels: {', '.join(labels)} (names assume five lumbar vertebrae)"
    if not source.name:
        return line
    kinds = ", ".join(kind.value for kind in source.annotates)
    return f"{source.name}: {len(cases)} training cases, annotates {kinds} in scheme {source.scheme.name}; {line}"


def _class_weights(outcome: PlanResult) -> list[str]:
    """Describe what a recipe's slice filter would keep of the scans as they are."""
    return [
        f"for recipes with a slice filter, {name}: {filtering(weights)}"
        for name, weights in outcome.fingerprint.class_weights.items()
    ]


def _plan(outcome: PlanResult, plan: Plan, explain: bool) -> list[str]:
    lines = [f"plan {plan.name}"]
    for reason in plan.reasons:
        lines.append(f"  {reason.decision}: {reason.because}")
        if explain and reason.figures:
            lines.append(f"      [{reason.figures}]")
    if outcome.request.minutes is not None:
        lines.append(
            f"  {outcome.request.minutes:g} minutes: autospine_train --minutes times updates and takes the finest "
            "pixels, then the widest network, that get enough of them"
        )
    low, high = training_seconds(plan, outcome.machine, updates=1)
    time = f"{_short(low)} to {_short(high)} an update (measured before training starts)"
    lines.append(f"  predicted: {plan.memory_gib:.1f} GiB, {time}")
    return lines


def _short(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _ending(outcome: PlanResult) -> list[str]:
    request, name = outcome.request, outcome.plans[0].name
    if request.dry_run:
        seconds = outcome.to_preprocess * outcome.seconds_per_case * len(outcome.plans)
        return [
            f"dry run: nothing was written. {outcome.to_preprocess} cases would be preprocessed for "
            f"{', '.join(plan.name for plan in outcome.plans)}, in about {max(seconds, 1):.0f} s"
        ]
    minutes = request.minutes or (MINUTES_ON_CPU if outcome.machine.device == "cpu" else None)
    budget = f" --minutes {minutes:g}" if minutes else ""
    start = f" --init-from {request.init_from}" if request.init_from else ""
    return [
        f"written to {request.work}: fingerprint.json, plans.json, splits.json, preprocessed/",
        f"next: autospine_train {request.work} --trainer unet --plan {name} --fold 0{start}{budget}",
    ]
