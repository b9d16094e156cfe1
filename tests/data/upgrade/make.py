r"""Leaves behind what a service of some version does: a Logboek with records, and records on disk not sent yet.

Run once for each version that is released, with that version, in an empty directory:

    ldv key new --file keys.json
    LDV_LOGBOEK=chdb://$PWD/logboek LDV_STATE=$PWD/state LDV_KEYS=$PWD/keys.json OTEL_SERVICE_NAME=parkeren \
        sh -c 'python make.py 1 40; python make.py 101 30 kill'
    tar cJf VERSION.tar.xz logboek state keys.json*

It uses nothing but what every version has.
"""

import contextlib
import os
import signal
import sys

import ldv_otel as ldv

REGISTER = "https://register.example/activiteiten/"


def act(number: int) -> None:
    """Log one Actie about a person, and every so often one inside it and one that fails."""
    with ldv.processing(f"{REGISTER}parkeren", name="Wijzig kenteken", attributes={"dpl.core.zaak": f"Z-{number}"}):
        ldv.data_subject("123456782" if number % 2 else "999990019", type="BSN")
        if number % 5 == 0:
            with ldv.processing(f"{REGISTER}controleren", name="Controleer tenaamstelling"):
                ldv.foreign_read_api("https://rdw.example/logboek")
    if number % 7 == 0:
        with contextlib.suppress(ValueError), ldv.processing(f"{REGISTER}parkeren", name="Mislukt"):
            raise ValueError("no matter")


if __name__ == "__main__":
    ldv.install()
    first, count = int(sys.argv[1]), int(sys.argv[2])
    for number in range(first, first + count):
        act(number)
    if "kill" in sys.argv:
        os.kill(os.getpid(), signal.SIGKILL)
