"""One network's weights for another of the same skeleton: by name and shape, heads by anatomy, channels by number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from autospine.labels.anatomy import Anatomy, Kind
from autospine.labels.encoding import Encoding
from autospine.labels.schemes import LabelScheme
from autospine.networks.encoder_decoder import EncoderDecoder

HEADS = "heads."  # begins the names of the heads' weights in every `EncoderDecoder`
# Whose rows of a head a kind may start from where its own kind is not there, the nearest first.
RELATED: dict[Kind, tuple[Kind, ...]] = {
    Kind.VERTEBRA: (Kind.BODY,),
    Kind.BODY: (Kind.VERTEBRA,),
    Kind.PARTIAL_VERTEBRA: (Kind.VERTEBRA, Kind.BODY),
    Kind.POSTERIOR_ELEMENTS: (Kind.LAMINA, Kind.VERTEBRA),
    Kind.LAMINA: (Kind.POSTERIOR_ELEMENTS, Kind.VERTEBRA),
    Kind.FORAMEN: (Kind.CANAL,),
    Kind.CORD: (Kind.CANAL,),
}


@dataclass(frozen=True)
class Row:
    """An output channel to start from."""

    index: int  # in the head of the start
    factor: float = 1.0  # of its weights


@dataclass(frozen=True)
class LearntLabels:
    """What the output channels of a network mean."""

    encoding: Encoding
    scheme: LabelScheme

    def anatomies(self) -> list[set[Anatomy]]:
        """Return the anatomies of each class, the background not counted."""
        return [{self.scheme.anatomies[value] for value in kind.values} for kind in self.encoding.classes]


def head_rows(target: LearntLabels, start: LearntLabels) -> tuple[Row | None, ...]:
    """Choose the output channel that each channel of a network starts from; None where it starts fresh.

    Classes go by anatomy: the same level of the same kind, the class of all levels of that kind, or a related kind;
    offsets by axis, in the target's unit; levels by level.
    """
    ours, theirs = target.encoding, start.encoding
    offsets = {axis: theirs.semantic_channels + k for k, axis in enumerate(theirs.offset_axes)}
    levels = {level: theirs.semantic_channels + len(offsets) + k for k, level in enumerate(theirs.levels)}
    unit = theirs.intervertebral_distance_mm / ours.intervertebral_distance_mm
    known = start.anatomies()
    comparable = target.scheme == start.scheme
    return (
        Row(0),
        *(_class_row(anatomies, known, comparable) for anatomies in target.anatomies()),
        *(Row(offsets[axis], unit) if axis in offsets else None for axis in ours.offset_axes),
        *(Row(levels[level]) if level in levels else None for level in ours.levels),
    )


def _class_row(wanted: set[Anatomy], known: Sequence[set[Anatomy]], comparable: bool) -> Row | None:
    """Choose among classes with `known` anatomies; plain structures mean the same in one scheme only."""
    if any(anatomy.kind is Kind.STRUCTURE for anatomy in wanted) and not comparable:
        return None
    for k, anatomies in enumerate(known, start=1):
        if anatomies == wanted:
            return Row(k)
    kinds = {anatomy.kind for anatomy in wanted}
    if len(kinds) != 1 or Kind.STRUCTURE in kinds:
        return None
    (kind,) = kinds
    for candidate in (kind, *RELATED.get(kind, ())):
        same = [k for k, anatomies in enumerate(known, start=1) if {one.kind for one in anatomies} == {candidate}]
        levels = {Anatomy(candidate, anatomy.level) for anatomy in wanted}
        chosen = same if len(same) == 1 else [k for k in same if known[k - 1] & levels]
        if len(chosen) == 1:
            return Row(chosen[0])
    return None


@dataclass(frozen=True)
class Adapted:
    """Weights to start from."""

    weights: dict[str, Tensor]  # every one of the network
    taken: float  # share of the numbers that come from the start
    fresh_rows: tuple[int, ...]  # output channels that start fresh


def adapt(network: EncoderDecoder, start: Mapping[str, Tensor], rows: Sequence[Row | None]) -> Adapted:
    """Return the network's weights, those of a start in place of fresh ones wherever they fit.

    Args:
        network: With fresh weights.
        start: Weights of the model to start from, by name.
        rows: For each output channel, where it starts from.
    """
    first = first_layer(network)
    weights, taken, total = {}, 0, 0
    for name, fresh in network.state_dict().items():
        source, count = start.get(name), fresh.numel()
        total += count
        weights[name] = fresh
        if source is None:
            continue
        if name.startswith(HEADS):
            weights[name], count = _head(fresh, source.to(fresh), rows)
        elif name == first and source.shape[2:] == fresh.shape[2:] and len(source) == len(fresh):
            weights[name] = _channels(source.to(fresh), fresh.shape[1])
        elif source.shape == fresh.shape:
            weights[name] = source.to(fresh)
        else:
            continue
        taken += count
    return Adapted(weights, taken / total, tuple(k for k, row in enumerate(rows) if row is None))


def first_layer(network: EncoderDecoder) -> str:
    """Return the name of the weights that see the image's channels."""
    axes = 2 + network.shape.dimension
    return next(f"encoder.0.{name}" for name, value in network.encoder[0].named_parameters() if value.ndim == axes)


def _channels(source: Tensor, count: int) -> Tensor:
    """Spread kernels `(out, in, *kernel)` over `count` channels: equal images in all of them give what one gave."""
    if source.shape[1] == count:
        return source
    mean = source.mean(dim=1, keepdim=True)  # (out, 1, *kernel)
    return (mean * (source.shape[1] / count)).repeat_interleave(count, dim=1)


def _head(fresh: Tensor, source: Tensor, rows: Sequence[Row | None]) -> tuple[Tensor, int]:
    """Return weights or biases `(out, ...)` of a head, and how many of their numbers come from the start."""
    if fresh.shape[1:] != source.shape[1:]:
        return fresh, 0
    result, taken = fresh.clone(), 0
    for k, row in enumerate(rows):
        if row is not None:
            result[k] = source[row.index] * row.factor
            taken += result[k].numel()
    return result, taken


def parameter_parts(network: nn.Module) -> dict[str, list[nn.Parameter]]:
    """Divide what is trained into "body", "first layer" and "head"; all is body in a network of another skeleton."""
    parts: dict[str, list[nn.Parameter]] = {"body": [], "first layer": [], "head": []}
    first = first_layer(network) if isinstance(network, EncoderDecoder) else ""
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            part = "first layer" if name == first else "head" if first and name.startswith(HEADS) else "body"
            parts[part].append(parameter)
    return parts
