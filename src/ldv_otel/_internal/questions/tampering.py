"""Whether anybody changed the Logboek behind its back, as far as it was checked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.verification.made import VerificationMade, latest_verifications
from ldv_otel._internal.questions.model import (
    Answer,
    AnswerColumn,
    AnswerTable,
    Asked,
    CellKind,
    Question,
    Said,
    counted,
)

_COLUMNS: Final = (
    AnswerColumn("wanneer", Said("Wanneer", "When"), CellKind.MOMENT),
    AnswerColumn("door", Said("Door wie", "By whom")),
    AnswerColumn("bevindingen", Said("Bevindingen", "Findings"), CellKind.NUMBER),
    AnswerColumn("alles", Said("Alles gelezen", "Everything read"), CellKind.YES_NO),
    AnswerColumn("sleutels_genoemd", Said("Sleutels genoemd", "Keys named"), CellKind.YES_NO),
    AnswerColumn("verzegeld", Said("Verzegeld", "Sealed"), CellKind.NUMBER),
    AnswerColumn("later_verzegeld", Said("Later verzegeld", "Sealed later"), CellKind.NUMBER),
    AnswerColumn("niet_verzegeld", Said("Niet verzegeld", "Not sealed"), CellKind.NUMBER),
    AnswerColumn("kopieen", Said("Vergeleken kopieën", "Copies compared"), CellKind.NUMBER),
)


_NEVER: Final = Said("Er is nog nooit gecontroleerd.", "It was never checked.")


def check_sentences(made: Sequence[VerificationMade]) -> Iterator[Said]:
    """Yield what the checks came to, and what they did not look at; the last check is the first of them."""
    whole = next((each for each in made if each.everything), None)
    if not made:
        yield Said(
            "Dat is niet bekend: het Logboek is nog nooit gecontroleerd. Laat `ldv verify` draaien.",
            "Nobody can say: the Logboek was never checked. Let somebody run `ldv verify`.",
        )
        return
    if made[0].tampering:
        yield Said(
            f"Ja: de laatste controle kwam tot {counted(made[0].tampering, 'bevinding', 'bevindingen')}. Vraag "
            f"{made[0].verified_by} ernaar.",
            f"Yes: the last check came to {counted(made[0].tampering, 'finding', 'findings')}. Ask "
            f"{made[0].verified_by}.",
        )
    elif not made[0].records:
        yield Said(
            "De laatste controle vond geen regels die verzegeld zijn. Er is dus niets nagekeken.",
            "The last check came to no records that are sealed, so nothing was checked.",
        )
    else:
        yield Said(
            "De laatste controle vond geen verandering in wat verzegeld is.",
            "The last check came to no change of what is sealed.",
        )
    if not made[0].everything:
        yield Said("Zij las alleen wat nieuw was.", "It read only what was new.")
    if not made[0].keys_named:
        yield Said(
            "Niemand zei welke sleutels van uw applicaties zijn. Ook een ander kan dan hebben verzegeld.",
            "Nobody said which keys are those of your services, so somebody else may have sealed.",
        )
    if whole is None:
        yield Said("Er is nooit alles in één keer gelezen.", "Nobody ever read everything in one check.")
    if made[0].not_sealed:
        yield Said(
            f"{made[0].not_sealed} regels zijn niet verzegeld. Of die veranderd zijn, is niet te zien.",
            f"{made[0].not_sealed} records are not sealed. Whether those were changed does not show.",
        )
    if not made[0].places:
        yield Said(
            "Er is niet vergeleken met een kopie ergens anders. Wie alles beheert, kan alles opnieuw verzegelen.",
            "It was compared with no copy elsewhere. Who holds everything can seal everything anew.",
        )


def answer(client: LogboekClient, asked: Asked) -> Answer:
    """Return the last checks and what they came to."""
    del asked
    made = latest_verifications(client)
    rows = [
        (
            each.at_ms,
            f"{each.verified_by} ({each.account})",
            each.tampering,
            each.everything,
            each.keys_named,
            each.records,
            each.adopted,
            each.not_sealed,
            each.places,
        )
        for each in made
    ]
    table = AnswerTable("controles", Said("Controles", "Checks"), _COLUMNS, rows, empty=_NEVER)
    return Answer(tuple(check_sentences(made)), (table,))


TAMPERING: Final = Question(
    name="tampering",
    address="veranderd",
    title=Said("Heeft iemand iets veranderd?", "Has anybody tampered with it?"),
    explanation=Said(
        "De laatste controles met `ldv verify`: wanneer, door wie, wat eruit kwam en wat niet verzegeld is.",
        "The last checks by `ldv verify`: when, by whom, what came out, and what is not sealed.",
    ),
    parameters=(),
    about_activities=False,
    limits=(
        Said(
            "Dit zegt iets tot de laatste controle, en niet over wat daarna gebeurde.",
            "This speaks up to the last check, and not of what happened after it.",
        ),
        Said(
            "Dit staat in het Logboek zelf. Laat bij twijfel iemand anders dan de beheerder `ldv verify` draaien.",
            "This is in the Logboek itself. In doubt let somebody else than its administrator run `ldv verify`.",
        ),
    ),
    answer=answer,
)
