"""Entry points of installed packages: found by group and name, loaded, and checked before anything relies on them.

What another package brings is checked at the start, because a method that is missing would else show when the first
Logregel needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from ldv_otel.errors import ConfigurationError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


def entry_points_of(group: str) -> dict[str, EntryPoint]:
    """Return the entry points of a group by name."""
    from importlib.metadata import entry_points  # 10 ms that only a process with a Logboek pays

    return {point.name: point for point in entry_points(group=group)}


def load_factory(point: EntryPoint) -> Callable[..., Any]:
    """Return the function that an entry point names.

    Raises:
        ConfigurationError: It cannot be imported, or is no function.
    """
    try:
        factory = point.load()
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(
            f"{describe(point)} cannot be loaded: {type(error).__name__}: {error}. Logging did not start. "
            "Install that package anew, or remove it."
        ) from error
    if not callable(factory):
        raise ConfigurationError(f"{describe(point)} is no function. Logging did not start. Report it to its makers.")
    return factory  # type: ignore[no-any-return]  # an entry point may be anything


def check_members(point: EntryPoint, made: object, contract: str, methods: Iterable[str], **traits: type) -> None:
    """Check that what an entry point made has the methods and attributes of a contract.

    Args:
        contract: Name of the protocol in `ldv_otel.plugins`, for the error.
        methods: Names of methods.
        traits: Types of attributes, by name.

    Raises:
        ConfigurationError: Something is missing or has another type; the message names all of it.
    """
    missing = [f"the method {name}()" for name in methods if not callable(getattr(made, name, None))]
    missing += [
        f"`{name}`, an instance of {expected.__name__}"
        for name, expected in traits.items()
        if not isinstance(getattr(made, name, None), expected)
    ]
    if missing:
        raise ConfigurationError(
            f"{describe(point)} made a {type(made).__name__}, which is no {contract}: it lacks {', '.join(missing)}. "
            f"Logging did not start. Its makers find what a {contract} needs in ldv_otel.plugins."
        )


def describe(point: EntryPoint) -> str:
    """Return an entry point with its group and the package that has it, for an error."""
    package = f"{point.dist.name} {point.dist.version}" if point.dist is not None else "an unknown package"
    return f"The entry point `{point.name} = {point.value}` ({point.group}) of {package}"
