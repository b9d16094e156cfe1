"""A second place that nobody can take back: a bucket of S3 whose objects are locked (WORM).

Each object is put once (`If-None-Match: *`), locked in the mode COMPLIANCE until a day that is given, read back and
looked at: until then not even who owns the bucket can change or remove it. So there is no `checkpoint` that is written
anew, as a directory has it; the last one is that of the largest size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from ldv_otel._internal.tamper.checkpoint import Checkpoint
from ldv_otel._internal.tamper.note import NoteError, SignedNote
from ldv_otel._internal.tamper.place import hashes_in_tiles, tiles
from ldv_otel.errors import ConfigurationError

_GROUP: Final = 1_000
#: Of a size: up to 10^18.
_GROUPS: Final = 6
_MODE: Final = "COMPLIANCE"
_TIMEOUT_SECONDS: Final = 20
_MOST_DAYS: Final = 36_500
#: A tile has 8 kB, and a checkpoint some signatures.
_LARGEST: Final = 64 << 10
#: So much shorter a lock counts as the same: the last tile is put again by each run until it is full.
_SHORT: Final = timedelta(days=1)
_NEVER: Final = datetime.min.replace(tzinfo=UTC)


class LockedBucket:
    """A bucket with object lock.

    Args:
        url: `s3://BUCKET/PREFIX?days=3650`: for how long what is written is locked.
        named_by: The option that names it, for messages.
        proxy: `LDV_PROXY`.

    Raises:
        ConfigurationError: It is no such address, boto3 is not installed, or objects of the bucket cannot be locked.
    """

    def __init__(self, url: str, named_by: str, *, proxy: str = "") -> None:
        parts = urlsplit(url)
        self._bucket, self._prefix = parts.netloc, unquote(parts.path).strip("/")
        self._days = _days(parts.query, url, named_by)
        self._url = f"s3://{self._bucket}/{self._prefix}".rstrip("/")
        self._client: Any = _client(proxy, named_by)
        self._check_lock(named_by)

    def __str__(self) -> str:
        """Where it is."""
        return self._url

    def _check_lock(self, named_by: str) -> None:
        try:
            answer = self._client.get_object_lock_configuration(Bucket=self._bucket)
        except _errors() as error:
            raise ConfigurationError(
                f"{named_by}: whether objects of the bucket {self._bucket} can be locked cannot be read "
                f"({_reason(error)}). Nothing was written. Make a bucket with object lock, which cannot be added "
                "later, and let this account read its configuration (s3:GetBucketObjectLockConfiguration)."
            ) from error
        if answer.get("ObjectLockConfiguration", {}).get("ObjectLockEnabled") != "Enabled":
            raise ConfigurationError(
                f"{named_by}: objects of the bucket {self._bucket} cannot be locked. Nothing was written. Make a "
                "bucket with object lock."
            )

    def checkpoint(self) -> SignedNote | None:
        """Return the checkpoint of the largest size; None when there is none yet.

        Raises:
            ConfigurationError: The bucket does not answer, or what is there is none.
        """
        prefix = "checkpoint.d/"
        for level in range(_GROUPS):
            names = self._below(prefix)
            if not names:
                if level:
                    raise ConfigurationError(f"What stands below {prefix} in {self} is no checkpoint.")
                return None
            prefix = names[-1]
        content = self._read(prefix)
        try:
            return SignedNote.parse(content or b"")
        except NoteError as error:
            raise ConfigurationError(f"The checkpoint {prefix} in {self} is none: {error}.") from error

    def _below(self, prefix: str) -> list[str]:
        """Return the names directly below a prefix, in order: a thousand at most, as they have three digits."""
        try:
            answer = self._client.list_objects_v2(Bucket=self._bucket, Prefix=self._key(prefix), Delimiter="/")
        except _errors() as error:
            raise self._unreachable(error) from error
        names = [each["Prefix"] for each in answer.get("CommonPrefixes", [])]
        names += [each["Key"] for each in answer.get("Contents", [])]
        start = len(self._key(""))
        return sorted(name[start:] for name in names)

    def leaves(self, size: int) -> list[bytes]:
        """Return the hashes of the first entries.

        Raises:
            ConfigurationError: A tile is not there, or is not whole.
        """
        return hashes_in_tiles(size, self._read, str(self))

    def write(self, note: SignedNote, leaves: Sequence[bytes], before: int) -> None:
        """Write a checkpoint, and the tiles that are new or longer since an earlier size; the checkpoint last.

        Raises:
            ConfigurationError: The bucket refuses, something else is there already, or what was written is not locked.
        """
        until = datetime.now(UTC) + timedelta(days=self._days)
        for name, content in tiles(leaves, before):
            self._put(name, content, until)
        name = checkpoint_name(Checkpoint.parse(note.text).size)
        # The same checkpoint may be there from an earlier run, with other cosignatures.
        there = self._read(name)
        if there is None:
            self._put(name, str(note).encode(), until)
        elif not there.startswith(note.text.encode()):
            raise ConfigurationError(
                f"In {self} another checkpoint of this size stands: there are two histories. Nothing was written over "
                "it. Run `ldv verify --against`, and keep both."
            )

    def _put(self, name: str, content: bytes, until: datetime) -> None:
        """Put an object that is not there yet, locked, and see that it is there and locked."""
        place = {"Bucket": self._bucket, "Key": self._key(name)}
        try:
            self._client.put_object(
                **place,
                Body=content,
                IfNoneMatch="*",
                ObjectLockMode=_MODE,
                ObjectLockRetainUntilDate=until,
                ChecksumAlgorithm="SHA256",
            )
        except _errors() as error:
            if _reason(error) not in {"PreconditionFailed", "412"}:
                raise self._unreachable(error) from error
        # One that was there already, from an earlier run or from somebody else, is locked for as long.
        if self._locked_until(name, content) < until - _SHORT:
            self._lock(place, until)
        if self._locked_until(name, content) < until - _SHORT:
            raise ConfigurationError(
                f"{name} in {self} was written and is not locked, so that somebody can take it back. Look at the lock "
                "of the bucket, and at what this account may do (s3:PutObjectRetention, s3:GetObjectRetention)."
            )

    def _locked_until(self, name: str, content: bytes) -> datetime:
        """Return until when nobody can remove an object of this content; long ago for one that is not locked so.

        The content and its lock come in one answer, so that both are of one version.
        """
        there = self._get(name)
        if there is None or there.content != content:
            raise ConfigurationError(
                f"{name} in {self} is not what was written: somebody else wrote it. Nothing was written over it. Run "
                "`ldv verify --against`, which compares."
            )
        return there.locked_until

    def _lock(self, place: Mapping[str, str], until: datetime) -> None:
        try:
            self._client.put_object_retention(**place, Retention={"Mode": _MODE, "RetainUntilDate": until})
        except _errors() as error:
            raise self._unreachable(error) from error

    def _read(self, name: str) -> bytes | None:
        there = self._get(name)
        return None if there is None else there.content

    def _get(self, name: str) -> _LockedObject | None:
        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=self._key(name))
            content: bytes = answer["Body"].read(_LARGEST + 1)
        except _errors() as error:
            if _reason(error) in {"NoSuchKey", "404"}:
                return None
            raise self._unreachable(error) from error
        if len(content) > _LARGEST:
            raise ConfigurationError(f"{name} in {self} is longer than anything that is written there.")
        is_locked = answer.get("ObjectLockMode") == _MODE
        return _LockedObject(content, answer["ObjectLockRetainUntilDate"] if is_locked else _NEVER)

    def _unreachable(self, error: Exception) -> ConfigurationError:
        return ConfigurationError(
            f"The second place {self} cannot be used ({_reason(error)}). Its last checkpoint stands; run `ldv seal` "
            "again when that is mended."
        )

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name}" if self._prefix else name


class _LockedObject(NamedTuple):
    """What stands under a name.

    Attributes:
        locked_until: Until when nobody can remove it.
    """

    content: bytes
    locked_until: datetime


def checkpoint_name(size: int) -> str:
    """Return where the checkpoint of a size stands: digits in groups of three, so that the last is found by order."""
    groups: list[str] = []
    for _ in range(_GROUPS):
        groups.insert(0, f"{size % _GROUP:03}")
        size //= _GROUP
    return "checkpoint.d/" + "/".join(groups)


def _days(query: str, url: str, named_by: str) -> int:
    try:
        values: Mapping[str, str] = dict(parse_qsl(query, strict_parsing=True))
        days = int(values["days"])
    except (ValueError, KeyError):
        values, days = {}, 0
    if set(values) != {"days"} or not 1 <= days <= _MOST_DAYS:
        raise ConfigurationError(
            f"{named_by} {url!r} does not say for how long what is written there is locked. Nothing was written. Give "
            f"it as s3://BUCKET/PREFIX?days=3650, between 1 and {_MOST_DAYS}; nobody can shorten it afterwards."
        )
    return days


def _client(proxy: str, named_by: str) -> Any:
    try:
        import boto3
        from botocore.config import Config

        from ldv_otel._internal.http.outgoing import proxy_for
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"{named_by}: a bucket needs {error.name}, which is not installed. Run `pip install 'ldv-otel[s3]'`."
        ) from error
    config = Config(
        connect_timeout=_TIMEOUT_SECONDS,
        read_timeout=_TIMEOUT_SECONDS,
        retries={"total_max_attempts": 3, "mode": "standard"},
        # A proxy of the environment gets nothing of ours; LDV_PROXY is the explicit way.
        proxies={},
    )
    try:
        direct = boto3.client("s3", config=config)
        # Where it goes is known by now only.
        through = proxy_for(direct.meta.endpoint_url, proxy)
        if through is None:
            return direct
        return boto3.client("s3", config=config.merge(Config(proxies={"http": through, "https": through})))
    except _errors() as error:
        raise ConfigurationError(
            f"{named_by}: the settings of AWS cannot be used ({_reason(error)}). Set AWS_ACCESS_KEY_ID, "
            "AWS_SECRET_ACCESS_KEY and AWS_REGION, or a profile; AWS_ENDPOINT_URL_S3 for another S3 than Amazon's."
        ) from error


def _errors() -> tuple[type[Exception], ...]:
    from botocore.exceptions import BotoCoreError, ClientError

    return BotoCoreError, ClientError, ValueError


def _reason(error: Exception) -> str:
    """Return the code of an error; its text may quote the keys of an account."""
    response = getattr(error, "response", None)
    return str(response["Error"]["Code"]) if response else type(error).__name__
