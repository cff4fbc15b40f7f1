"""Frozen dataclasses to plain JSON values and back, strictly: an unknown key is an error."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar, Union

from autospine.core.errors import UserError

T = TypeVar("T")
HINT = "it was written by another version or edited by hand: make it again"


def to_plain(value: Any) -> Any:
    """Return dataclasses, tuples, enums and mappings as JSON values (mapping keys become strings)."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(to_plain(key)): to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    return value


def from_plain(kind: type[T], data: Any, where: str) -> T:
    """Build a dataclass from what `to_plain` returned.

    Raises:
        UserError: A key is unknown or missing, or a value is of another type.
    """
    return typing.cast(T, _build(kind, data, where, kind.__name__))


def check_version(data: Any, version: int, where: str | Path, hint: str) -> None:
    """Check that a file was written in the form that this AutoSpine reads.

    Args:
        data: Content of the file, with the key "version" where it is an object.
        version: The form that is read.
        where: The file that an error names.
        hint: What helps where the form is an older one.

    Raises:
        UserError: The form is an older or a newer one.
    """
    written = data.get("version") if isinstance(data, Mapping) else None
    if isinstance(written, int) and written > version:
        raise UserError(where, "was made by a newer AutoSpine", "update AutoSpine")
    if isinstance(written, int) and written < version:
        raise UserError(where, "was made by an older AutoSpine", hint)


@cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _build_dataclass(kind: Any, data: Any, where: str, key_path: str) -> Any:
    if not isinstance(data, Mapping):
        raise UserError(where, f"{key_path} should be an object", HINT)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    unknown = sorted(set(data) - set(fields))
    if unknown:
        raise UserError(where, f"{key_path} has the unknown key {unknown[0]!r}", HINT)
    required = [
        name
        for name, field in fields.items()
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    missing = [name for name in required if name not in data]
    if missing:
        raise UserError(where, f"{key_path} lacks the key {missing[0]!r}", HINT)
    hints = _hints(kind)
    values = {name: _build(hints[name], data[name], where, f"{key_path}.{name}") for name in data}
    try:
        return kind(**values)
    except ValueError as error:  # what the dataclass itself refuses
        raise UserError(where, f"{key_path}: {error}", HINT) from error


def _build_tuple(arguments: tuple[Any, ...], data: Any, where: str, key_path: str) -> tuple[Any, ...]:
    if not isinstance(data, (list, tuple)):
        raise UserError(where, f"{key_path} should be a list", HINT)
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(_build(arguments[0], item, where, key_path) for item in data)
    if len(data) != len(arguments):
        raise UserError(where, f"{key_path} should hold {len(arguments)} values", HINT)
    return tuple(_build(a, item, where, key_path) for a, item in zip(arguments, data, strict=True))


def _build(kind: Any, data: Any, where: str, key_path: str) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return data
    if dataclasses.is_dataclass(kind):
        return _build_dataclass(kind, data, where, key_path)
    if origin in (Union, types.UnionType):
        if data is None and type(None) in arguments:
            return None
        kinds = [argument for argument in arguments if argument is not type(None)]
        return _build(next((k for k in kinds if _has_the_keys(k, data)), kinds[0]), data, where, key_path)
    if origin is tuple:
        return _build_tuple(arguments, data, where, key_path)
    if origin is Literal:
        if data not in arguments:
            raise UserError(where, f"{key_path} is {data!r}, none of {', '.join(map(str, arguments))}", HINT)
        return data
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(data, Mapping):
            raise UserError(where, f"{key_path} should be an object", HINT)
        return {
            _key(arguments[0], key, where, key_path): _build(arguments[1], item, where, f"{key_path}.{key}")
            for key, item in data.items()
        }
    return _scalar(kind, data, where, key_path)


def _has_the_keys(kind: Any, data: Any) -> bool:
    """Return whether an object's keys are all fields of a dataclass: it tells which one of several was written."""
    if not dataclasses.is_dataclass(kind) or not isinstance(data, Mapping):
        return False
    return set(data) <= {field.name for field in dataclasses.fields(kind)}


def _key(kind: Any, key: str, where: str, key_path: str) -> Any:
    try:
        return kind(key)
    except (ValueError, TypeError) as error:
        raise UserError(where, f"{key_path} has the key {key!r}", HINT) from error


def _scalar(kind: Any, data: Any, where: str, key_path: str) -> Any:
    if kind is float and isinstance(data, int) and not isinstance(data, bool):
        try:
            return float(data)
        except OverflowError as error:
            raise UserError(where, f"{key_path} is beyond any number", HINT) from error
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _key(kind, data, where, key_path)
    right = isinstance(data, kind) and not (kind is int and isinstance(data, bool))
    if right and kind is float and not math.isfinite(data):
        raise UserError(where, f"{key_path} is {data}", HINT)
    if not right:
        raise UserError(where, f"{key_path} should be {kind.__name__}, not {data!r}", HINT)
    return data
