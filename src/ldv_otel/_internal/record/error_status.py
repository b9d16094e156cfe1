"""Which status an exception gives an Actie (LDV-A5): whether the system failed, or did what it was to do.

`Error` is a failure inside the system. Input that was refused is none, and frameworks say so with an exception whose
class, or whose HTTP status, tells. The table is by names, so that no framework is imported for it, and `LDV_STATUS_OF`
adds to it in the same words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from ldv_otel._internal.config.variables import STATUS_ENTRY
from ldv_otel._internal.record.logregel import Status
from ldv_otel.errors import ConfigurationError

_BY_HTTP: Final = "http:"
_LEAST_SERVER_ERROR: Final = 500
#: What a program returns that a signal ended: 128 and the signal's number.
_OF_SIGNALS: Final = range(129, 193)

#: A class, as `exception.type` has it, stands for those below it too. Its value is a status, or `http:` with the
#: attribute that holds the HTTP status (the first of several that does).
STATUS_OF: Final[Mapping[str, str]] = {
    "celery.exceptions.Ignore": "Unset",
    "celery.exceptions.Reject": "Unset",
    "celery.exceptions.Retry": "Unset",
    "django.core.exceptions.BadRequest": "Unset",
    "django.core.exceptions.PermissionDenied": "Unset",
    "django.core.exceptions.SuspiciousOperation": "Unset",
    "django.http.multipartparser.MultiPartParserError": "Unset",
    "django.http.request.UnreadablePostError": "Unset",
    "django.http.response.Http404": "Unset",
    "fastapi.exceptions.RequestValidationError": "Unset",
    "fastapi.exceptions.WebSocketRequestValidationError": "Unset",
    "ninja.errors.AuthenticationError": "Unset",
    "ninja.errors.HttpError": "http:status_code",
    "ninja.errors.ValidationError": "Unset",
    "rest_framework.exceptions.APIException": "http:status_code",
    "starlette.exceptions.HTTPException": "http:status_code",
    "starlette.exceptions.WebSocketException": "Unset",
    "starlette.requests.ClientDisconnect": "Unset",
    "starlette.websockets.WebSocketDisconnect": "Unset",
    "werkzeug.exceptions.HTTPException": "http:response.status_code|code",
}

_STATUS: Final = {status.label: status for status in Status}


class ErrorStatuses:
    """Says which status an exception gives an Actie.

    Args:
        entries: What the application adds to the table, as in `LDV_STATUS_OF`; they go first.
        refused: Says of an exception that it refuses input in a way that no table can tell; it may raise.

    Raises:
        ConfigurationError: An entry cannot be read; from settings it can.
    """

    def __init__(self, entries: Iterable[str] = (), refused: Callable[[BaseException], bool] | None = None) -> None:
        entries = tuple(entries)
        for entry in entries:
            if not STATUS_ENTRY.fullmatch(entry):
                raise ConfigurationError(
                    f"{entry!r} says of no exception which status it gives. Write it as in LDV_STATUS_OF: "
                    "module.Class=Unset, or module.Class=http:ATTRIBUTE."
                )
        self._own = dict(entry.split("=", 1) for entry in entries)
        self._refused = refused

    def of(self, error: BaseException) -> Status:
        """Return the status; an exception group is an error if one of its members is.

        Cancellation and the end of the program are no failures of the system, and neither is a closed generator; an
        exit that says that the program failed is one.
        """
        statuses = {self._of_member(member) for member in _members(error)}
        if Status.ERROR in statuses:
            return Status.ERROR
        return statuses.pop() if len(statuses) == 1 else Status.UNSET

    def _of_member(self, error: BaseException) -> Status:
        try:
            for table in (self._own, STATUS_OF):
                for kind in type(error).__mro__:
                    entry = table.get(class_name(kind))
                    if entry is not None:
                        return _status(entry, error)
            if self._refused is not None and self._refused(error):
                return Status.UNSET
        except Exception:  # an exception of the application's may do anything where it is read
            return Status.ERROR
        if isinstance(error, SystemExit):
            return Status.ERROR if _failed_exit(error.code) else Status.UNSET
        return Status.ERROR if isinstance(error, Exception) else Status.UNSET


def class_name(kind: type) -> str:
    """Return a class of exceptions as `exception.type` has it."""
    return f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")


def _members(error: BaseException) -> Iterator[BaseException]:
    """Return an exception, or the members of a group, at any depth."""
    waiting = [error]
    while waiting:
        member = waiting.pop()
        if isinstance(member, BaseExceptionGroup):
            waiting.extend(member.exceptions)
        else:
            yield member


def _status(entry: str, error: BaseException) -> Status:
    if not entry.startswith(_BY_HTTP):
        return _STATUS[entry]
    for path in entry.removeprefix(_BY_HTTP).split("|"):
        value: object = error
        for name in path.split("."):
            value = getattr(value, name, None)
        if isinstance(value, int):
            return Status.UNSET if value < _LEAST_SERVER_ERROR else Status.ERROR
    return Status.ERROR


def _failed_exit(code: object) -> bool:
    """Whether an exit says that the program failed; one by a signal says that somebody ended it."""
    return code is not None and code != 0 and code not in _OF_SIGNALS
