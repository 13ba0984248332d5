"""Values of ours as plain JSON and back, so that one process can hand them to another."""

import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


def to_plain(value: Any) -> Any:
    """Named tuples, tuples, mappings and paths as dictionaries, lists and strings."""
    if _is_named_tuple(type(value)):
        return {name: to_plain(item) for name, item in value._asdict().items()}
    if isinstance(value, tuple | list):
        return [to_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {name: to_plain(item) for name, item in value.items()}
    return str(value) if isinstance(value, Path) else value


def from_plain(kind: type[T], plain: Any) -> T:
    """The value of type `kind` that `to_plain` made `plain` of."""
    return typing.cast(T, _from_plain(kind, plain))


def _from_plain(kind: Any, plain: Any) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if _is_named_tuple(kind):
        hints = typing.get_type_hints(kind)
        return typing.cast(Any, kind)(**{name: _from_plain(hints[name], item) for name, item in plain.items()})
    if origin in (types.UnionType, typing.Union):
        inner = next(argument for argument in arguments if argument is not type(None))
        return None if plain is None else _from_plain(inner, plain)
    if origin is tuple:
        return tuple(_from_plain(arguments[0], item) for item in plain)
    if origin is Mapping:
        return {name: _from_plain(arguments[1], item) for name, item in plain.items()}
    return Path(plain) if kind is Path else plain


def _is_named_tuple(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, tuple) and hasattr(kind, "_fields")
