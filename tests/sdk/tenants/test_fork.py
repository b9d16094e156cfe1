"""A process that forks while one of its threads makes what a tenant needs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.tenants import write_logboeken

#: A thread is held up while it makes what tenant `b` needs; the child logs for `b` and `c`.
PROGRAM = """
import os, threading, time
import ldv_otel as ldv
from ldv_otel._internal.sdk.tenants.processors import TenantProcessors

ldv.install()
made, go_on, parent = threading.Event(), threading.Event(), os.getpid()
make = TenantProcessors._make

def slowly(self, tenant_id, type_):
    if tenant_id == "b" and os.getpid() == parent:
        made.set()
        go_on.wait()
    return make(self, tenant_id, type_)

def act(tenant):
    with ldv.tenant(tenant), ldv.processing("https://register.example/a", name=tenant):
        pass

TenantProcessors._make = slowly
thread = threading.Thread(target=act, args=("b",))
thread.start()
made.wait()
child = os.fork()
if child == 0:
    act("c")
    act("b")
    os._exit(0)
end = time.monotonic() + 60
while not (waited := os.waitpid(child, os.WNOHANG))[0] and time.monotonic() < end:
    time.sleep(0.05)
print("the child", "ended" if waited == (child, 0) else f"hangs or failed: {waited}")
if not waited[0]:
    os.kill(child, 9)
go_on.set()
thread.join()
"""


def test_the_child_does_not_wait_for_a_thread_that_it_does_not_have(tmp_path: Path) -> None:
    """The lock that the thread held is the parent's."""
    logboeken = write_logboeken(tmp_path, ["a", "b", "c"])
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("LDV_", "OTEL_"))}
    environ = {"LDV_LOGBOEKEN": str(logboeken), "LDV_STATE": str(tmp_path / "state"), "LDV_FLUSH_SECONDS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=clean | environ, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.stdout == "the child ended\n", done.stderr
