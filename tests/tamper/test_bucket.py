"""A second place in a bucket with object lock, against a server of S3 (moto's): put once, locked, read back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from ldv_otel._internal.tamper.bucket import LockedBucket, checkpoint_name
from ldv_otel._internal.tamper.checkpoint import Checkpoint
from ldv_otel._internal.tamper.note import NoteSigner, SignedNote
from ldv_otel._internal.tamper.tree import leaf_hash, root_of
from ldv_otel.errors import ConfigurationError
from tests.cli.test_cli import ldv
from tests.cli.test_tamper import environ, run

__all__ = ["environ"]

boto3 = pytest.importorskip("boto3", reason="boto3 is not installed, which speaks to buckets")
moto_server = pytest.importorskip("moto.server", reason="moto is not installed, whose server stands in for S3")

LOG = NoteSigner("logboek.example/log", bytes(range(32)))
LEAVES = [leaf_hash(f"manifest {number}".encode()) for number in range(600)]
URL = "s3://evidence/gemeente?days=3650"


def note(size: int, leaves: list[bytes] = LEAVES) -> SignedNote:
    """A checkpoint of the first leaves."""
    return LOG.sign(Checkpoint(LOG.key.name, size, root_of(leaves[:size])).text)


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A server with a bucket that locks and one that does not."""
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    httpx.post(f"http://{host}:{port}/moto-api/reset").raise_for_status()  # what it stores is the process's
    for name, value in {
        "AWS_ENDPOINT_URL_S3": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "account",
        "AWS_SECRET_ACCESS_KEY": "secret-of-the-account",
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_CONFIG_FILE": "/nowhere",
        "AWS_SHARED_CREDENTIALS_FILE": "/nowhere",
    }.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3")
    for bucket, locks in (("evidence", True), ("ordinary", False)):
        client.create_bucket(
            Bucket=bucket,
            ObjectLockEnabledForBucket=locks,
            CreateBucketConfiguration={"LocationConstraint": "eu-west-1"},
        )
    yield client
    server.stop()


def locked_until(s3: Any, key: str) -> datetime:
    """Until when nobody can remove an object; moto has it with the object, and fails when asked for it alone."""
    answer = s3.head_object(Bucket="evidence", Key=key)
    assert answer["ObjectLockMode"] == "COMPLIANCE"
    until: datetime = answer["ObjectLockRetainUntilDate"]
    return until


def test_what_is_written_is_there_and_locked(s3: Any) -> None:
    """Checkpoints and tiles, each an object with one version, in the mode that nobody can lift."""
    place = LockedBucket(URL, "--to")
    assert place.checkpoint() is None
    before = 0
    for size in (3, 300, 600):
        place.write(note(size), LEAVES[:size], before)
        last = place.checkpoint()
        assert last is not None
        assert str(last) == str(note(size))
        assert place.leaves(size) == LEAVES[:size]
        before = size
    versions = s3.list_object_versions(Bucket="evidence")["Versions"]
    keys = [each["Key"] for each in versions]
    assert len(keys) == len(set(keys))
    assert f"gemeente/{checkpoint_name(600)}" in keys
    for key in keys:
        assert locked_until(s3, key) > datetime.now(UTC) + timedelta(days=3_649)


def test_a_lock_is_not_lifted(s3: Any) -> None:
    """The server refuses to remove a version."""
    LockedBucket(URL, "--to").write(note(3), LEAVES[:3], 0)
    (version,) = s3.list_object_versions(Bucket="evidence", Prefix="gemeente/checkpoint")["Versions"]
    with pytest.raises(s3.exceptions.ClientError, match="AccessDenied"):
        s3.delete_object(Bucket="evidence", Key=version["Key"], VersionId=version["VersionId"])


def test_two_histories_are_not_written_over_one_another(s3: Any) -> None:
    """Another tile or another checkpoint of one size stands: that is said, and what is there stays."""
    place = LockedBucket(URL, "--to")
    place.write(note(300), LEAVES[:300], 0)
    place.write(note(300), LEAVES[:300], 300)
    other = [leaf_hash(b"another"), *LEAVES[1:]]
    for size, before in ((300, 300), (299, 0)):
        with pytest.raises(ConfigurationError, match="somebody else wrote it"):
            place.write(note(size, other), other[:size], before)
    assert str(place.checkpoint()) == str(note(300))
    s3.put_object(Bucket="evidence", Key=f"gemeente/{checkpoint_name(301)}", Body=str(note(301, other)).encode())
    with pytest.raises(ConfigurationError, match="another checkpoint of this size stands"):
        place.write(note(301), LEAVES[:301], 300)
    versions = s3.list_object_versions(Bucket="evidence")["Versions"]
    assert len(versions) == len({each["Key"] for each in versions})


def test_the_last_checkpoint_is_the_largest(s3: Any) -> None:
    """Whatever was written last, and however many digits it has."""
    place = LockedBucket(URL, "--to")
    for size in (3, 600, 20):
        place.write(note(size), LEAVES[:size], 0)
        assert s3.head_object(Bucket="evidence", Key=f"gemeente/{checkpoint_name(size)}")
    last = place.checkpoint()
    assert last is not None
    assert Checkpoint.parse(last.text).size == 600
    names = [checkpoint_name(size) for size in (0, 9, 10, 999, 1_000, 999_999, 1_000_000, 10**15)]
    assert names == sorted(names)


def test_what_stands_there_and_is_none_is_named(s3: Any) -> None:
    """Something that others put there."""
    place = LockedBucket(URL, "--to")
    s3.put_object(Bucket="evidence", Key=f"gemeente/{checkpoint_name(5)}", Body=b"no note")
    with pytest.raises(ConfigurationError, match="is none"):
        place.checkpoint()
    with pytest.raises(ConfigurationError, match="not there, or not whole"):
        place.leaves(5)
    s3.put_object(Bucket="evidence", Key=f"gemeente/{checkpoint_name(6)}", Body=b"x" * 100_000)
    with pytest.raises(ConfigurationError, match="longer than anything"):
        place.checkpoint()


def test_what_is_there_without_a_lock_gets_one(s3: Any) -> None:
    """The same bytes, put there before by somebody who could take them back, or locked for less."""
    place = LockedBucket(URL, "--to")
    name = "gemeente/tile/0/000.p/3"
    s3.put_object(Bucket="evidence", Key=name, Body=b"".join(LEAVES[:3]))
    place.write(note(3), LEAVES[:3], 0)
    assert locked_until(s3, name) > datetime.now(UTC) + timedelta(days=3_649)
    LockedBucket(URL.replace("3650", "7300"), "--to").write(note(3), LEAVES[:3], 0)
    assert locked_until(s3, name) > datetime.now(UTC) + timedelta(days=7_299)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("s3://ordinary/x?days=1", "cannot be locked|ObjectLockConfigurationNotFoundError"),
        ("s3://nowhere/x?days=1", "NoSuchBucket"),
        ("s3://evidence/x", "for how long"),
        ("s3://evidence/x?days=0", "for how long"),
        ("s3://evidence/x?days=many", "for how long"),
        ("s3://evidence/x?days=5&mode=GOVERNANCE", "for how long"),
    ],
)
def test_a_bucket_that_cannot_keep_evidence_is_refused_at_the_start(s3: Any, url: str, sentence: str) -> None:
    """Before anything is signed, and without a word of the account's secret."""
    assert s3
    with pytest.raises(ConfigurationError, match=sentence) as refused:
        LockedBucket(url, "--to")
    assert "secret" not in str(refused.value)


def test_a_bucket_that_does_not_answer_is_named(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the option, in bounded time."""
    assert s3
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    with pytest.raises(ConfigurationError, match="EndpointConnectionError"):
        LockedBucket(URL, "--to")


def test_the_command_keeps_a_log_there(s3: Any, environ: dict[str, str]) -> None:
    """`ldv seal --to` and `ldv verify --against`; what was cut off at home is still in the bucket."""
    assert s3
    run(environ)
    assert ldv(environ, "seal", "--to", URL).returncode == 0
    run(environ)
    sealed = ldv(environ, "seal", "--to", URL)
    assert (sealed.returncode, "place  s3://evidence/gemeente" in sealed.stdout) == (0, True)
    assert ldv(environ, "verify", "--against", URL).returncode == 0
    run(environ, "ALTER TABLE ldv_checkpoint DELETE WHERE size > 1 SETTINGS mutations_sync = 1")
    cut = ldv(environ, "verify", "--against", URL)
    assert (cut.returncode, "has 1 entries more" in cut.stdout) == (1, True)
    refused = ldv(environ, "seal", "--to", "s3://evidence/gemeente")
    assert (refused.returncode, "for how long" in refused.stderr) == (1, True)
