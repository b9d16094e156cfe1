"""A file of Logboeken that changes while a service runs: tenants come and go, and none gets what is another's."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

import ldv_otel as ldv
from ldv_otel._internal.config.logboeken import QUARANTINE, read_logboeken
from ldv_otel._internal.config.settings import read_service_settings
from ldv_otel._internal.config.watched_file import WatchedFile
from ldv_otel._internal.privacy.tenant_keys import read_tenant_keys
from ldv_otel._internal.sdk.tenants.processor import TenantsProcessor
from tests.sdk.conftest import ACTIVITY
from tests.sdk.tenants.conftest import MakeService, Service, server_span
from tests.support.chance import dice, examples
from tests.support.tenants import write_logboeken


def act(name: str) -> None:
    """Do something about a person."""
    with ldv.processing(ACTIVITY, name=name) as actie:
        actie.data_subject("123456782", type="BSN")


def follow(service: Service, directory: Path, ids: list[str], **options: Any) -> None:
    """Have the service follow a file with these tenants; keys of before stay in their files."""
    lacking = [name for name in ids if not (directory / f"{name}.json").exists()]
    write_logboeken(directory / "new", lacking) if lacking else None
    for name in lacking:
        (directory / "new" / f"{name}.json").rename(directory / f"{name}.json")
    path = write_logboeken(directory, ids, with_keys=False, **options)
    file = read_logboeken(path, allow_insecure=False)
    service.rings.update({name: ring for name, ring in read_tenant_keys(file).items() if name not in service.rings})
    service.processor.take_over(file)


@pytest.fixture(autouse=True)
def _new_keys(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()


def test_a_tenant_that_comes_is_there(make_service: MakeService, tmp_path: Path) -> None:
    """Without a restart, with its own key; the others go on as they were."""
    service = make_service(("0363",))
    with pytest.raises(ldv.UnknownTenant), ldv.tenant("0518"):
        act("nog niet")
    follow(service, tmp_path, ["0363", "0518"])
    for name in ("0518", "0363"):
        with ldv.tenant(name):
            act(f"van {name}")
    assert service.names() == {"0363": ["van 0363"], "0518": ["van 0518"]}
    subjects = [records[0].data_subject_id for records in service.logged().values()]
    assert len(set(subjects)) == 2


def test_a_tenant_that_goes_is_refused_and_drained(make_service: MakeService, tmp_path: Path) -> None:
    """What began before ends in its own Logboek; what begins afterwards is in nobody's, or in the quarantine."""
    service = make_service(fields={"0344": {"hosts": ["utrecht.example"]}})
    with ldv.tenant("0344"), ldv.processing(ACTIVITY, name="begonnen"):
        follow(service, tmp_path, ["0363"])
        act("binnen wat begonnen was")
    with pytest.raises(ldv.UnknownTenant), ldv.tenant("0344"):
        act("te laat")
    with server_span(service, {"host": "utrecht.example"}):
        pass
    service.processor.processors.send_left("0344")
    assert service.names() == {
        "0344": ["begonnen", "binnen wat begonnen was"],
        QUARANTINE: ["GET /vergunning"],
    }
    assert service.processor.processors.logboek_of("0344") != service.processor.processors.logboek_of(QUARANTINE)


def test_a_request_that_was_read_before_is_nobodys(make_service: MakeService, tmp_path: Path) -> None:
    """A host that was a tenant's when the request came, of a tenant that is gone when its Actie begins."""
    service = make_service(fields={"0344": {"hosts": ["utrecht.example"]}})
    context = ldv.extract({"host": "utrecht.example"})
    follow(service, tmp_path, ["0363"])
    tracer = service.provider.get_tracer("test")
    tracer.start_span("laat", context, attributes={"dpl.core.processing_activity_id": ACTIVITY}).end()
    assert service.names() == {QUARANTINE: ["laat"]}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"fields": {"0363": {"logboek": "clickhouse+https://ldv@elders.example/ldv"}}}, "0363 has another address"),
        ({"fields": {"0363": {"spool": "elders"}}}, "needs a restart"),
        ({"fields": {QUARANTINE: {"organisation": "x"}}}, "the quarantine is another one"),
        ({"fields": {"0344": {"hosts": ["UTRECHT"]}}}, "lower case"),
        ({"fields": {"0363": {"callers": ["nobody"]}}}, "callers names"),
        ({"default": "0999"}, "default names no tenant"),
    ],
)
def test_a_file_that_cannot_be_followed_changes_nothing(
    make_service: MakeService, tmp_path: Path, changed: dict[str, Any], said: str
) -> None:
    """Tenants, rules and default stay those of the file of before."""
    service = make_service(fields={"0344": {"hosts": ["utrecht.example"]}})
    with pytest.raises(ldv.ConfigurationError, match=said):
        follow(service, tmp_path, ["0363", "0344", "0518"], **changed)
    with pytest.raises(ldv.UnknownTenant), ldv.tenant("0518"):
        act("nooit")
    with server_span(service, {"host": "utrecht.example"}):
        pass
    with ldv.tenant("0363"):
        act("als eerst")
    assert service.names() == {"0344": ["GET /vergunning"], "0363": ["als eerst"]}


def test_a_key_that_is_in_use_comes_with_nobody_else(make_service: MakeService, tmp_path: Path) -> None:
    """Not by a key file that was exchanged meanwhile either: the process still logs with what it had read."""
    service = make_service()
    (tmp_path / "0344.json").rename(tmp_path / "0518.json")
    write_logboeken(tmp_path / "new", ["0344"])
    (tmp_path / "new" / "0344.json").rename(tmp_path / "0344.json")
    with pytest.raises(ldv.ConfigurationError, match="0518 has a key that 0344 logs with"):
        follow(service, tmp_path, ["0363", "0344", "0518"])
    with pytest.raises(ldv.ConfigurationError, match="0518 has a key that 0344 logs with"):
        follow(service, tmp_path, ["0363", "0518"])


def test_nothing_is_ever_in_anothers_logboek(make_service: MakeService, tmp_path: Path) -> None:
    """Over tenants that come and go, hosts that move and defaults, whatever is logged is where it belongs."""
    chance = dice("files that change")
    ids = ["0301", "0302", "0303", "0304"]
    service = make_service((ids[0],), default=ids[0])
    present, hosts, default = [ids[0]], dict[str, str](), ids[0]
    for number in range(examples(40)):
        if chance.random() < 0.6:
            present = chance.sample(ids, chance.randint(1, 4))
            moved = dict(zip(chance.sample(["a.example", "b.example", "c.example"], 3), present, strict=False))
            hosts, default = moved, chance.choice([*present, ""])
            fields = {name: {"hosts": [host]} for host, name in hosts.items()}
            follow(service, tmp_path, present, fields=fields, default=default)
        name = chance.choice(ids)
        if name in present:
            with ldv.tenant(name):
                act(f"{number} {name}")
        else:
            with pytest.raises(ldv.UnknownTenant), ldv.tenant(name):
                act(f"{number} nobody")
        host = chance.choice(["a.example", "b.example", "c.example"])
        context = ldv.extract({"host": host})
        whose = hosts.get(host) or default or QUARANTINE
        span = service.provider.get_tracer("test").start_span(
            f"{number} {whose}", context, attributes={"dpl.core.processing_activity_id": ACTIVITY}
        )
        span.end()
    for name, records in service.logged().items():
        assert {record.name.split()[1] for record in records} == {name}
    assert len(service.logged()) == 5


def test_a_change_is_seen_and_a_bad_one_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """By time, size or file; one that is taken away is a bad one, and one that is put right is followed."""
    path = tmp_path / "logboeken.yaml"
    path.write_text("good")
    followed = []

    def take_over() -> None:
        try:
            content = path.read_text()
        except OSError as error:
            raise ldv.ConfigurationError("It is not there.") from error
        if content.startswith("bad"):
            raise ldv.ConfigurationError("It is bad. Logging did not start.")
        if content.startswith("odd"):
            raise RuntimeError(content)
        followed.append(content)

    watched = WatchedFile(path, take_over)
    watched.look()
    assert not followed
    for content in ("better", "bad", "odd one", "best"):
        path.with_suffix(".new").write_text(content)
        path.with_suffix(".new").rename(path)
        watched.look()
        watched.look()
    path.unlink()
    watched.look()
    watched.look()
    assert followed == ["better", "best"]
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 3
    assert "It is bad. The tenants stay." in errors[0]
    assert "odd one" not in errors[1]
    assert "It is not there." in errors[2]


def test_a_service_looks_by_itself(tmp_path: Path) -> None:
    """The turn that looks for what dead processes left looks at the file too, and at who has come."""
    path = write_logboeken(tmp_path, ["0363"])
    environ = {"LDV_LOGBOEKEN": str(path), "LDV_SPOOL": str(tmp_path / "spool"), "LDV_FLUSH_SECONDS": "0.1"}
    processor = TenantsProcessor.from_settings(read_service_settings(environ))
    try:
        assert not processor.choice.has("0518")
        content = path.read_text()
        write_logboeken(tmp_path / "new", ["0518"])
        (tmp_path / "new" / "0518.json").rename(tmp_path / "0518.json")
        write_logboeken(tmp_path, ["0363", "0518"], with_keys=False)
        assert path.read_text() != content
        sweep = processor._sweep
        assert sweep is not None
        next(sweep.turns())
        assert processor.choice.has("0518")
        assert set(sweep._bases) == {"0363", "0518"}
    finally:
        processor.close()
