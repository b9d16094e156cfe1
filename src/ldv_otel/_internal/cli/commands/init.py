"""`ldv init`: looks at an application and writes the files that it would begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from ldv_otel._internal.cli.beginning.files import PLACE_OF_ACTIVITIES, VARIABLES_NAME, texts, write_new
from ldv_otel._internal.cli.beginning.proposal import Proposal, propose
from ldv_otel._internal.cli.beginning.routes import Application, look_at
from ldv_otel._internal.record.logregel import is_uri
from ldv_otel._internal.sdk.environment_checks import is_installed, not_instrumented
from ldv_otel._internal.sdk.takeover import hold, sets_provider

_CAPTURE: Final = "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST"


def add_to(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("init")(init)


def init(
    target: Annotated[
        str, typer.Argument(help="The application, as uvicorn and gunicorn have it: module:app. Not needed for Django.")
    ] = "",
    *,
    directory: Annotated[
        Path, typer.Option("--directory", help="Where to write.", file_okay=False, exists=True)
    ] = Path(),
    activities: Annotated[
        str, typer.Option("--activities", help="The beginning of the URIs of your processing activities.")
    ] = PLACE_OF_ACTIVITIES,
) -> None:
    """Look at an application of FastAPI, Flask or Django, and write mapping rules, a Register and variables for it.

    The application is imported, and nothing of it is called. No file is written over.
    """
    if not is_uri(activities):
        raise typer.BadParameter("it is no URI like https://register.example/activiteiten/", param_hint="--activities")
    hold()
    application = look_at(target)
    proposal = propose(application)
    files = texts(proposal, activities)
    written = write_new(directory, files)
    for name in files:
        typer.echo(f"{'wrote' if name in written else 'kept '} {directory / name}")
    typer.echo(f"\n{application.framework}: {len(proposal.rules)} rules; routes left out: {len(proposal.left_out)}.")
    typer.echo("\nWhat could not be known from here:")
    for sentence in open_questions(application, proposal, activities):
        typer.echo(f"  - {sentence}")
    how = (
        "call ldv_otel.install() where the code sets its tracer provider, and start the service as you always do (not "
        "with `ldv run`, which would set another provider before it)"
        if sets_provider()
        else "`ldv run` before the usual command of the service"
    )
    typer.echo(f"\nThen: `set -a; . ./{VARIABLES_NAME}; set +a`, `ldv doctor`, and {how}.")


def open_questions(application: Application, proposal: Proposal, place: str) -> list[str]:
    """Return what somebody has to decide or do that nothing in the application says."""
    rules = proposal.rules
    about_nobody = [rule for rule in rules if not rule.sources]
    maybe = [source.name for rule in rules for source in rule.maybe]
    in_body = [f"{field} ({rule.route.path})" for rule in rules for field in rule.in_body]
    headers = [source.name for rule in rules for source in rule.sources if source.kind == "header"]
    questions = ["purpose, ground in law and term of the activities (register.yaml)"]
    if place == PLACE_OF_ACTIVITIES:
        questions.append(
            "the URIs of your activities: those in rules.yaml are made up (delete the files and run this again with "
            "--activities)"
        )
    if about_nobody:
        names_no_person = "rules names no person" if len(about_nobody) == 1 else "rules name no person"
        questions.append(
            f"{len(about_nobody)} of {len(rules)} {names_no_person}: no parameter is clearly a person's number"
        )
    if maybe:
        questions.append(f"whether these are a person's, and of which kind: {', '.join(dict.fromkeys(maybe))}")
    if in_body:
        questions.append(f"fields of bodies (call ldv_otel.data_subject in the code): {', '.join(in_body)}")
    if headers:
        names = ",".join(dict.fromkeys(headers))
        questions.append(f"headers are captured where a variable says so: set {_CAPTURE}={names}")
    if not application.says_all:
        questions.append(
            f"parameters of queries, headers and bodies: {application.framework} does not say which there are"
        )
    package = f"opentelemetry-instrumentation-{application.framework}"
    missing = {**({} if is_installed(package) else {application.framework: package}), **not_instrumented()}
    # Of use to `ldv run` and `opentelemetry-instrument` alone, which code with a provider of its own has to do without.
    if not is_installed("opentelemetry-distro") and not sets_provider():
        missing["OpenTelemetry"] = "opentelemetry-distro"
    if missing:
        questions.append(f"nothing makes spans of {', '.join(missing)} here: pip install {' '.join(missing.values())}")
    questions.append("work that is no request: tasks, scripts, messages (docs/processing.md)")
    return questions
