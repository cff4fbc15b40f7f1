"""Choices of a trainer from the command line: NAME=VALUE into a recipe's `options`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

from autospine.core.errors import UserError
from autospine.core.serial import from_plain, to_plain

if TYPE_CHECKING:
    from autospine.training.trainer import Trainer


def parse_options(given: Sequence[str]) -> dict[str, Any]:
    """Parse names and values; a value is read as JSON where it is JSON (true, 0.5, [1, 2]), else it is a word.

    Raises:
        UserError: One is not NAME=VALUE, or a name is given twice.

    Example:
        >>> parse_options(["attend_encoder=true", "alpha=0.5", "critic=sigmoid"])
        {'attend_encoder': True, 'alpha': 0.5, 'critic': 'sigmoid'}
    """
    options: dict[str, Any] = {}
    for option in given:
        name, equals, value = option.partition("=")
        if not (name and equals and value):
            raise UserError(f"--option {option}", "is not NAME=VALUE", "write for example attend_encoder=true")
        if name in options:
            raise UserError(f"--option {option}", f"sets {name} a second time", "give it once")
        try:
            options[name] = json.loads(value)
        except ValueError:
            options[name] = value
    return options


def parse_source_weights(given: Sequence[str]) -> dict[str, float]:
    """Parse how often each data set is to be sampled.

    Raises:
        UserError: One is not NAME=NUMBER.

    Example:
        >>> parse_source_weights(["t2=2", "discs=0.5"])
        {'t2': 2.0, 'discs': 0.5}
    """
    weights = {}
    for text in given:
        name, _, number = text.rpartition("=")
        try:
            weights[name] = float(number)
        except ValueError:
            name = ""
        if not name:
            raise UserError(f"--source-weights {text}", "is not NAME=NUMBER", "write for example t2=2 discs=0.5")
    return weights


def option_suffixes(options: Mapping[str, Any]) -> list[str]:
    """Write parts of a model folder's name, such as "attend_encoder-true".

    Example:
        >>> option_suffixes({"rates": [1, 2], "alpha": 0.5})
        ['alpha-0.5', 'rates-1-2']
    """
    return [_suffix(name, value) for name, value in sorted(options.items())]


def _suffix(name: str, value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return _suffix(name, "-".join(map(str, value)))
    text = value if isinstance(value, str) else json.dumps(value)
    return re.sub(r"[^\w.-]+", "-", f"{name}-{text}").strip("-")


def check_options(kind: type[Trainer], options: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Refuse choices that a trainer does not offer, or of another type.

    Raises:
        UserError: Naming what it offers.
    """
    known = [field.name for field in fields(kind.options_type)]
    for name, value in asked.items():
        option = "--members" if name == "members" else f"--option {name}={value}"
        if name not in known:
            hint = f"choose from {', '.join(known)}" if known else "leave it out"
            raise UserError(option, f"is no choice of {kind.name}", hint)
        _read(kind, {**kind.recipe_named(None).options, name: value}, option)
    if asked:
        _read(kind, options, " ".join(f"--option {name}={value}" for name, value in asked.items()))


def _read(kind: type[Trainer], options: Mapping[str, Any], where: str) -> None:
    try:
        from_plain(kind.options_type, options, where)
    except UserError as error:
        hint = f"autospine_train WORK --trainer {kind.name} --list-options shows what it takes"
        raise UserError(where, error.problem.removeprefix(f"{kind.options_type.__name__}."), hint) from error


def describe_options(kind: type[Trainer]) -> str:
    """Describe what a trainer takes for --option, a line each: name, default, kinds of values."""
    hints = get_type_hints(kind.options_type)
    rows = []
    for field in fields(kind.options_type):
        default = field.default if field.default_factory is MISSING else field.default_factory()
        shown = "" if default is MISSING else _text(default)
        rows.append((f"{field.name}={shown}", _values(hints[field.name])))
    if not rows:
        return f"{kind.name} has no options"
    width = max(len(name) for name, _ in rows)
    return "\n".join([f"{kind.name}, with defaults:", *(f"  {name:<{width}}  {values}" for name, values in rows)])


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(to_plain(value))


def _values(hint: Any) -> str:
    """Describe the kinds of values."""
    if get_origin(hint) is Literal:
        return ", ".join(map(str, get_args(hint)))
    words = {bool: "true, false", int: "whole number", float: "number", str: "word"}
    return words.get(hint, str(hint).replace("typing.", ""))
