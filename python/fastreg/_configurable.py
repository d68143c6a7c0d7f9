"""Configurable: objects described by the arguments of their constructor, and how they are found by name.

It must not know which objects exist: every family of objects keeps its own table of names.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")
Self = TypeVar("Self", bound="Configurable")


class Configurable:
    """Base of everything that has `get_config` and `from_config`.

    An argument `a` of the constructor, that of `own_class`, must be kept as the attribute `a`, in a form that the
    constructor takes again.
    Public attributes cannot be set any more once a model has taken the object: see `take`.
    """

    _taken = False
    _may_change: tuple[str, ...] = ()  # also then

    def __setattr__(self, name: str, value: Any) -> None:
        if (
            self._taken
            and name in self.__dict__
            and not name.startswith("_")
            and name not in self._may_change
        ):
            kind = type(self).__name__
            raise AttributeError(
                f"{name} of a {kind} that a model has taken cannot change; give it another {kind}"
            )
        object.__setattr__(self, name, value)  # sooner than by super()

    def __getstate__(self) -> dict[str, Any]:
        """No model has taken a copy yet."""
        return {name: value for name, value in self.__dict__.items() if name != "_taken"}

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, as values that JSON can hold."""
        return {name: describe(value) for name, value in self._arguments().items()}

    def _arguments(self) -> dict[str, Any]:
        """The arguments with which the constructor makes another object like this."""
        return {name: getattr(self, name) for name in argument_names(type(self))}

    @classmethod
    def from_config(cls: type[Self], config: Mapping[str, Any]) -> Self:
        """The object that `get_config` described."""
        return cls(**config)

    def __repr__(self) -> str:
        shown = {
            name: describe(value) if inspect.isfunction(value) else value
            for name, value in self._arguments().items()
        }
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in shown.items())})"


def argument_names(cls: type) -> tuple[str, ...]:
    """The names of the arguments of the constructor, that of `own_class`."""
    return _arguments_of(own_class(cls))


@functools.cache
def _arguments_of(cls: type) -> tuple[str, ...]:
    return tuple(inspect.signature(cls).parameters)


def take(*values: Any) -> None:
    """Their settings are a model's from now on, those of objects within them, too: what changed later would be shown,
    and saved, but not computed with."""
    for value in values:
        if isinstance(value, Configurable) and not value._taken:
            value._taken = True
            take(*vars(value).values())


def own_class(cls: type) -> Any:
    """The class of fastreg that objects of `cls` are computed with and described as: itself, or that which a subclass
    from elsewhere only sets arguments of. One that brings methods, as a schedule may, is of its own."""
    return _own_class_of(cls)


@functools.cache
def _own_class_of(cls: type) -> type:
    ours = next(base for base in cls.__mro__ if _is_ours(base))
    return ours if _own_method(cls) is None else cls


def _is_ours(cls: type) -> bool:
    return cls.__module__.partition(".")[0] == __name__.partition(".")[0]


def _own_method(cls: type) -> tuple[str, str] | None:
    """The class from elsewhere that brings a method to `cls`, and the method's name."""
    for base in cls.__mro__:
        if _is_ours(base):
            break
        for name, member in vars(base).items():
            if inspect.isfunction(member) and name not in ("__init__", "get_config", "__repr__"):
                return base.__name__, name
    return None


def check_native(value: Configurable, what: str) -> None:
    """Raise TypeError if `value` is of a class from elsewhere that brings a method: it would not run."""
    found = _own_method(type(value))
    if found is not None:
        raise TypeError(
            f"{what} {found[0]} brings its own {found[1]}(), which would not run: "
            f"fastreg computes natively, with its own classes"
        )


def describe(value: Any) -> Any:
    """`value` as JSON can hold it: objects become `{"class_name", "config"}`, functions their name."""
    if isinstance(value, Configurable):
        cls = own_class(type(value))
        return {"class_name": cls.__name__, "config": cls.get_config(value)}
    if inspect.isfunction(value):
        return value.__name__
    if isinstance(value, (list, tuple)):
        return [describe(item) for item in value]
    if isinstance(value, float):
        return float(value)  # without what a subclass adds
    return value


@functools.cache
def snake_case(name: str) -> str:
    """Keras's name of a class: `EarlyStopping` is `early_stopping`, `L1L2` is `l1_l2`, `AUC` is `auc`."""
    name = re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def table_of(
    classes: Iterable[Callable[..., T]], aliases: Mapping[str, Callable[..., T]]
) -> dict[str, Callable[..., T]]:
    """Names to classes: every class by its own name and in snake case, and the aliases."""
    table = {name: cls for cls in classes for name in (cls.__name__, snake_case(cls.__name__))}
    return {**table, **aliases}


def find(identifier: Any, family: type[T], table: Mapping[str, Callable[..., T]], what: str) -> T:
    """The object that `identifier` means: an object of the family, its name, its class or its description.

    Raises ValueError for a name that is not in `table`, TypeError for anything else, also for the family's base and for
    what `check_native` bars.
    """
    if identifier is family or type(identifier) is family:
        raise TypeError(f"{what} must be one of the kinds of {family.__name__}, not {family.__name__} itself")
    if inspect.isclass(identifier) and issubclass(identifier, family):
        identifier = identifier()
    if isinstance(identifier, family):
        if isinstance(identifier, Configurable):
            check_native(identifier, what)
        return identifier
    if isinstance(identifier, str):
        return _named(identifier, table, what)()
    if isinstance(identifier, Mapping) and "class_name" in identifier:
        return _named(identifier["class_name"], table, what)(**identifier.get("config", {}))
    if any(identifier is make for make in table.values()):  # a function such as regularizers.l2
        made: T = identifier()
        return made
    raise TypeError(
        f"{what} must be a name or an object of fastreg, not {type(identifier).__name__}: {identifier!r}"
    )


def _named(name: Any, table: Mapping[str, Callable[..., T]], what: str) -> Callable[..., T]:
    if name in table:
        return table[name]
    if isinstance(name, str) and name.lower() in table:
        return table[name.lower()]
    known = ", ".join(sorted(key for key in table if key == key.lower()) or sorted(table))
    raise ValueError(f"unknown {what} {name!r}; known: {known}")
