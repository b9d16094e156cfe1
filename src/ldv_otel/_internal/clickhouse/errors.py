"""Turns the driver's errors into ours, by what the caller does next."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from ldv_otel._internal.config.address import LogboekAddress
from ldv_otel.errors import BatchRefused, LdvError, LogboekSetupError, LogboekUnavailable, QueryError, SchemaError

#: What ClickHouse's error codes mean for the caller; any other code means: wait and try again.
_READONLY: Final = 164
#: A cluster refuses what needs `distributed_product_mode`, which every query of ours sets where it may.
_DOUBLE_DISTRIBUTED: Final = 288
_ACCESS_CODES: Final = frozenset({164, 192, 193, 194, 291, 495, 497, 516, 519})
_SCHEMA_CODES: Final = frozenset({8, 10, 15, 16, 20, 47, 60, 81, 218})
_DATA_CODES: Final = frozenset({6, 25, 26, 27, 38, 41, 43, 50, 53, 69, 70, 72, 117, 131, 321, 349, 469})
_SPACE_CODES: Final = frozenset({243})
_QUERY_CODES: Final = frozenset({36, 42, 62, 115, 456, 457})

APPLY_ADVICE: Final = "Run `ldv schema apply` with an account that may create tables."


@contextmanager
def translated(address: LogboekAddress, *, inserting: bool = False) -> Iterator[None]:
    """Turn the driver's errors into ours; ours pass.

    A server's message may quote what was inserted, so for inserts only its code and name are shown.
    """
    try:
        yield
    except LdvError:
        raise
    except Exception as error:
        from clickhouse_connect.driver.exceptions import ClickHouseError

        if not isinstance(error, ClickHouseError | OSError | RuntimeError):
            raise
        # An insert's error may quote records, and tracebacks print causes: it must not become one.
        refused = _refused_setting(address, error)
        raise refused or our_error(address, error, inserting=inserting) from (None if inserting else error)


def our_error(address: LogboekAddress, error: Exception, *, inserting: bool) -> LdvError:
    """Return our error for one of the driver's, without what it may quote of inserted records."""
    code: int | None = getattr(error, "code", None)
    name = getattr(error, "name", None) or type(error).__name__
    label = f"{name} ({code})" if code else _transport_label(error)
    message = (
        f"The Logboek {address} answered {label}." if code else f"The Logboek {address} cannot be reached: {label}."
    )
    detail = "" if inserting else f" Its message: {_first_line(error)}" if code else ""
    if code in _ACCESS_CODES:
        return LogboekSetupError(f"{message} Check user, password and rights of LDV_LOGBOEK.{detail}")
    if code in _SCHEMA_CODES:
        return SchemaError(f"{message} Its tables are missing or of another version. {APPLY_ADVICE}{detail}")
    if code in _SPACE_CODES:
        return LogboekUnavailable(f"{message} Its disk is full. Make room; what waits is tried again.")
    if inserting and code in _DATA_CODES:
        return BatchRefused(f"{message} It will never take these records as they are.", code=code)
    if not inserting and code in _QUERY_CODES | _DATA_CODES:
        return QueryError(f"{message}{detail}")
    return LogboekUnavailable(f"{message}{detail}", in_doubt=code is not None or not _never_sent(error))


def _refused_setting(address: LogboekAddress, error: Exception) -> LdvError | None:
    """Return our error where an account was refused a setting, by the server or by the driver; None for others."""
    code: int | None = getattr(error, "code", None)
    text = _first_line(error)
    by_server = code == _DOUBLE_DISTRIBUTED or (code == _READONLY and "Cannot modify" in text)
    by_driver = type(error).__name__ == "ProgrammingError" and text.endswith(" is readonly")
    if not (by_server or by_driver):
        return None
    return LogboekSetupError(
        f"The Logboek {address} lets this account change no setting (`readonly = 1`), and what was asked needs some: "
        "limits on its time, or those of a cluster. Nothing was read. Give the account `readonly = 2` in its profile, "
        "which lets it set them and still write nothing."
    )


def _transport_label(error: BaseException) -> str:
    """Return the innermost cause: the layers around it report only that something failed."""
    innermost = error
    while (inside := innermost.__cause__ or innermost.__context__ or _reason(innermost)) is not None:
        innermost = inside
    if isinstance(innermost, ssl.SSLCertVerificationError):
        return (
            f"its certificate does not convince ({innermost.verify_message}). If an authority of your own signed it, "
            "let LDV_LOGBOEK_CA_FILE name that authority's certificate"
        )
    return getattr(innermost, "strerror", None) or type(innermost).__name__


def _reason(error: BaseException) -> BaseException | None:
    inside = getattr(error, "reason", None) or next(iter(error.args), None)
    return inside if isinstance(inside, BaseException) else None


def _never_sent(error: BaseException | None) -> bool:
    """Return whether no connection was made, so that the request cannot have had any effect."""
    # By name, because these are classes of urllib3 and of ssl, under several layers of others.
    while error is not None:
        if type(error).__name__ in {
            "NewConnectionError",
            "ConnectTimeoutError",
            "NameResolutionError",
            "SSLCertVerificationError",
        }:
            return True
        error = error.__cause__ or error.__context__ or _reason(error)
    return False


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:500]
