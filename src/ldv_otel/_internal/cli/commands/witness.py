"""`ldv witness`: cosigning the logs of other organisations, so that none of them can show two histories."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer

from ldv_otel._internal.cli.listen_address import parse_listen
from ldv_otel._internal.cli.output import AsJson, console, print_json
from ldv_otel._internal.config.settings import ServeSettings, read_some_settings
from ldv_otel._internal.tamper.witness import Witness, open_witness
from ldv_otel.errors import ConfigurationError

_SERVE: tuple[str, ...] = ("certificate", "private_key", "seconds", "metrics_from")


def add_to(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(witness)


def witness(
    *,
    listen: Annotated[str, typer.Option("--listen", help="Address and port.")] = "127.0.0.1:8444",
    show: Annotated[
        bool, typer.Option("--show", help="Show the key, and what was last seen of each log, and serve nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Cosign checkpoints of the logs in LDV_WITNESS_LOGS, each as long as it continues the last; needs no Logboek."""
    settings = read_some_settings(
        os.environ, "witness_logs", "witness_state", "state", "allow_insecure", *(f"serve.{name}" for name in _SERVE)
    )
    if "witness_logs" not in settings:
        raise ConfigurationError(
            "LDV_WITNESS_LOGS is not set, so there is no log to witness. Nothing was started. Let it name a file with "
            "the keys of the logs that others asked you to witness."
        )
    this = open_witness(settings["witness_logs"], settings.get("witness_state"), settings.get("state"))
    if show:
        _show(this, as_json=as_json)
        return
    if as_json:
        raise ConfigurationError("--json is about what --show shows. Nothing was started.")
    host, port = parse_listen(listen, "127.0.0.1:8444")
    try:
        from ldv_otel._internal.api.listening import check_tls  # needs the extra [api]
        from ldv_otel._internal.api.witnessing import serve_witness
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"The witness needs {error.name}, which is not installed. Run `pip install 'ldv-otel[api]'`."
        ) from error
    serving = ServeSettings(**{name: settings[f"serve.{name}"] for name in _SERVE if f"serve.{name}" in settings})
    host = host.strip("[]")
    check_tls(serving, host, allow_insecure=settings.get("allow_insecure", False))
    console(stderr=True).print(f"Key of this witness: {this.key}", markup=False, soft_wrap=True)
    serve_witness(this, serving, host, port, lambda address: typer.echo(f"Ready: {address}"))


def _show(this: Witness, *, as_json: bool) -> None:
    seen = {origin: this.seen(origin) for origin in this.logs}
    if as_json:
        logs: list[dict[str, Any]] = [
            {
                "origin": origin,
                "size": None if each is None else each.checkpoint.size,
                "checkpoint": None if each is None else str(each.note),
                "forked": each is not None and each.forked,
            }
            for origin, each in seen.items()
        ]
        print_json({"key": str(this.key), "logs": logs})
        return
    out = console()
    out.print(f"key  {this.key}", markup=False, soft_wrap=True)
    for origin, each in seen.items():
        size = "nothing was seen of it yet" if each is None else f"{each.checkpoint.size} manifests"
        forked = each is not None and each.forked
        out.print(f"log  {origin}: {size}{'; FORKED: it signed another one too' if forked else ''}", markup=False)
