"""The terms of the record and of the Register, in Dutch and English: each name that others read, with what it means.

`terms.ttl` beside this module is made of this list (`make terms`), and so is the JSON-LD context of answers. A test
holds the list against the attributes, the fields of an answer and the fields of the Register.
"""

from __future__ import annotations

from typing import Final

import msgspec

import ldv_otel.attributes as names
from ldv_otel._internal.record.spellings import OUTBOUND_SPAN_IDS

#: What the addresses of concepts and properties begin with.
CONCEPTS: Final = "https://w3id.org/ldv-otel/begrippen#"
PROPERTIES: Final = "https://w3id.org/ldv-otel/def#"
PROV: Final = "http://www.w3.org/ns/prov#"
RDFS: Final = "http://www.w3.org/2000/01/rdf-schema#"
DCTERMS: Final = "http://purl.org/dc/terms/"
XSD: Final = "http://www.w3.org/2001/XMLSchema#"


class Term(msgspec.Struct, frozen=True, kw_only=True):
    """One term.

    Attributes:
        id: The end of its address, of the concept and, where it has a `written`, of the property too.
        written: How it stands in a record, in the Logboek's own words; with `register.` before it, in the Register.
        member: Its name in answers of the lezen API, where that has one of its own.
        standard: Address of the property of another vocabulary that it is; empty for one of our own.
        datatype: Of its values: the end of an XSD type, `@id` for addresses, `@json`, or empty for text.
        broader: Term that this one is a kind or a part of.
    """

    id: str
    nl: str
    en: str
    definition_nl: str
    definition_en: str
    written: str = ""
    member: str = ""
    standard: str = ""
    datatype: str = ""
    broader: str = ""

    @property
    def concept(self) -> str:
        """Address of the concept."""
        return CONCEPTS + self.id

    @property
    def predicate(self) -> str:
        """Address of the property."""
        return self.standard or PROPERTIES + self.id


TERMS: Final = (
    Term(
        id="dataverwerking",
        nl="dataverwerking",
        en="data processing",
        definition_nl="Een bewerking, of een geheel van bewerkingen, van gegevens.",
        definition_en="An operation, or a set of operations, on data.",
    ),
    Term(
        id="actie",
        nl="actie",
        en="action",
        definition_nl="Eén afgeronde stap van een dataverwerking.",
        definition_en="One discrete step of a data processing.",
        broader="dataverwerking",
    ),
    Term(
        id="logregel",
        nl="logregel",
        en="record",
        definition_nl="De vastlegging van één actie in een logboek.",
        definition_en="The record of one action in a logbook.",
    ),
    Term(
        id="logboek",
        nl="logboek",
        en="logbook",
        definition_nl="Waar een verantwoordelijke zijn logregels bewaart.",
        definition_en="Where a controller keeps its records.",
    ),
    Term(
        id="register",
        nl="register",
        en="register",
        definition_nl="De lijst van verwerkingsactiviteiten van een verantwoordelijke, met wat zij betekenen.",
        definition_en="The list of the processing activities of a controller, with what they mean.",
    ),
    Term(
        id="betrokkene",
        nl="betrokkene",
        en="data subject",
        definition_nl="De natuurlijke persoon of rechtspersoon over wie de gegevens gaan.",
        definition_en="The natural or legal person that the data is about.",
    ),
    Term(
        id="applicatie",
        nl="applicatie",
        en="application",
        definition_nl="De software die dataverwerkingen uitvoert.",
        definition_en="The software that performs data processing.",
    ),
    Term(
        id="traceId",
        nl="trace-id",
        en="trace id",
        definition_nl="Wat alle acties van dezelfde dataverwerking delen, bij elke applicatie die eraan werkt.",
        definition_en="What all actions of the same data processing share, at each application that works on it.",
        written="trace_id",
        member="traceId",
        broader="logregel",
    ),
    Term(
        id="spanId",
        nl="span-id",
        en="span id",
        definition_nl="Wat één actie aanwijst, bij alle organisaties.",
        definition_en="What identifies one action, over all organisations.",
        written="span_id",
        member="spanId",
        broader="logregel",
    ),
    Term(
        id="parentSpanId",
        nl="id van de aanroepende actie",
        en="parent span id",
        definition_nl="Het span-id van de actie die deze begon, hier of bij een andere applicatie.",
        definition_en="The span id of the action that started this one, here or at another application.",
        written="parent_span_id",
        member="parentSpanId",
        broader="logregel",
    ),
    Term(
        id="status",
        nl="uitkomst",
        en="status",
        definition_nl="De uitkomst van een actie: Unset (zonder interne fout), Ok (volgens de applicatie) of Error.",
        definition_en="The outcome of an action: Unset (no internal error), Ok (the application says so) or Error.",
        written="status",
        member="status",
        broader="logregel",
    ),
    Term(
        id="name",
        nl="naam van de actie",
        en="name of the action",
        definition_nl="Hoe een actie heet, voor mensen.",
        definition_en="What an action is called, for people.",
        written="name",
        member="name",
        standard=f"{RDFS}label",
        broader="logregel",
    ),
    Term(
        id="startTime",
        nl="begin van de actie",
        en="start time",
        definition_nl="Het tijdstip waarop een actie begon.",
        definition_en="The moment at which an action started.",
        written="start_time",
        member="startTime",
        standard=f"{PROV}startedAtTime",
        datatype="dateTime",
        broader="logregel",
    ),
    Term(
        id="endTime",
        nl="einde van de actie",
        en="end time",
        definition_nl="Het tijdstip waarop een actie eindigde.",
        definition_en="The moment at which an action ended.",
        written="end_time",
        member="endTime",
        standard=f"{PROV}endedAtTime",
        datatype="dateTime",
        broader="logregel",
    ),
    Term(
        id="resource",
        nl="systeem van de actie",
        en="resource",
        definition_nl="Welk systeem de actie uitvoerde: naam, versie en plaats.",
        definition_en="Which system performed the action: its name, version and place.",
        written="resource",
        member="resource",
        datatype="@json",
        broader="logregel",
    ),
    Term(
        id="processingActivityId",
        nl="verwerkingsactiviteit van de actie",
        en="processing activity of the action",
        definition_nl="De verwerkingsactiviteit in het register waaronder een actie valt.",
        definition_en="The processing activity in the register that an action belongs to.",
        written=names.PROCESSING_ACTIVITY_ID,
        member="processingActivityId",
        datatype="@id",
        broader="logregel",
    ),
    Term(
        id="dataSubjectId",
        nl="pseudoniem van de betrokkene",
        en="data subject id",
        definition_nl="Het pseudoniem van de betrokkene; nooit het nummer zelf.",
        definition_en="The pseudonym of the data subject; never the number itself.",
        written=names.DATA_SUBJECT_ID,
        member="dataSubjectId",
        broader="logregel",
    ),
    Term(
        id="dataSubjectIdType",
        nl="soort nummer van de betrokkene",
        en="type of the data subject id",
        definition_nl="Wat voor nummer achter het pseudoniem staat, zoals BSN.",
        definition_en="What kind of number stands behind the pseudonym, such as BSN.",
        written=names.DATA_SUBJECT_ID_TYPE,
        member="dataSubjectIdType",
        broader="logregel",
    ),
    Term(
        id="foreignOperationProcessor",
        nl="aanroepende applicatie",
        en="calling application",
        definition_nl="De applicatie van een ander die de actie aanriep.",
        definition_en="The application of another party that called the action.",
        written=names.FOREIGN_OPERATION_PROCESSOR,
        member="processor",
        datatype="@id",
        broader="logregel",
    ),
    Term(
        id="nextLogbookId",
        nl="logboek van de aangeroepen partij",
        en="logbook of the called party",
        definition_nl="Waar de logregels te lezen zijn van de partij die in de actie werd aangeroepen.",
        definition_en="Where the records can be read of the party that was called in the action.",
        written=names.NEXT_LOGBOOK_ID,
        member="nextLogbookId",
        datatype="@id",
        broader="logregel",
    ),
    Term(
        id="extension",
        nl="uitbreiding ldvotel",
        en="extension ldvotel",
        definition_nl="Wat deze software aan een logregel toevoegt, onder dpl.ldvotel.",
        definition_en="What this software adds to a record, under dpl.ldvotel.",
        written="dpl.ldvotel",
        member="ldvotel",
        datatype="@json",
        broader="logregel",
    ),
    Term(
        id="parentProcessingActivityId",
        nl="verwerkingsactiviteit van de hoofdhandeling",
        en="processing activity of the main operation",
        definition_nl="De verwerkingsactiviteit van de actie waar deze een onderdeel van is, als die anders is.",
        definition_en="The processing activity of the action that this one is part of, where it is another one.",
        written=names.PARENT_PROCESSING_ACTIVITY_ID,
        broader="extension",
    ),
    Term(
        id="foreignOperationTraceId",
        nl="trace-id bij de aanroeper",
        en="trace id at the caller",
        definition_nl="Het trace-id van de aanroeper, als hier een eigen trace begon.",
        definition_en="The trace id of the caller, where a trace of its own began here.",
        written=names.FOREIGN_OPERATION_TRACE_ID,
        broader="extension",
    ),
    Term(
        id="foreignOperationSpanId",
        nl="span-id bij de aanroeper",
        en="span id at the caller",
        definition_nl="Het span-id van de aanroepende actie, als hier een eigen trace begon.",
        definition_en="The span id of the calling action, where a trace of its own began here.",
        written=names.FOREIGN_OPERATION_SPAN_ID,
        broader="extension",
    ),
    Term(
        id="outboundSpanIds",
        nl="uitgaande span-id's",
        en="outbound span ids",
        definition_nl="De span-id's onder de actie die aangeroepen partijen als aanroeper zien.",
        definition_en="The span ids below the action that called parties see as their caller.",
        written=OUTBOUND_SPAN_IDS,
        broader="extension",
    ),
    Term(
        id="flags",
        nl="aantekeningen",
        en="flags",
        definition_nl="Wat veranderd is om de logregel te kunnen bewaren.",
        definition_en="What was normalised to make the record storable.",
        written=names.FLAGS,
        broader="extension",
    ),
    Term(
        id="objectsProcessingActivityId",
        nl="verwerkingsactiviteit volgens de extensie objecten",
        en="processing activity by the extension objecten",
        definition_nl="De verwerkingsactiviteit van de actie, zoals de extensie objecten die noemt.",
        definition_en="The processing activity of the action, as the extension objecten names it.",
        written=names.OBJECTS_PROCESSING_ACTIVITY_ID,
        broader="logregel",
    ),
    Term(
        id="exceptionType",
        nl="soort fout",
        en="type of the exception",
        definition_nl="Welk soort fout de actie beëindigde.",
        definition_en="Which type of exception ended the action.",
        written=names.EXCEPTION_TYPE,
        broader="logregel",
    ),
    Term(
        id="exceptionMessage",
        nl="tekst van de fout",
        en="message of the exception",
        definition_nl="De tekst van de fout, als het logboek die bewaart; zonder nummers van personen.",
        definition_en="The text of the exception, where the logbook keeps it; without numbers of people.",
        written=names.EXCEPTION_MESSAGE,
        broader="logregel",
    ),
    Term(
        id="exceptionStacktrace",
        nl="plaats van de fout",
        en="stack trace of the exception",
        definition_nl="De regels code waarin de fout optrad.",
        definition_en="The lines of code in which the exception occurred.",
        written=names.EXCEPTION_STACKTRACE,
        broader="logregel",
    ),
    Term(
        id="interrupted",
        nl="afgebroken",
        en="interrupted",
        definition_nl="Dat een actie begon en geen einde kreeg.",
        definition_en="That an action began and never ended.",
        written=names.INTERRUPTED,
        broader="extension",
    ),
    Term(
        id="versionOf",
        nl="versie van",
        en="version of",
        definition_nl="Wat alle versies van een verbeterde logregel delen.",
        definition_en="What all versions of a corrected record share.",
        written=names.VERSION_OF,
        broader="extension",
    ),
    Term(
        id="version",
        nl="versie",
        en="version",
        definition_nl="Wanneer deze versie van een logregel is vastgelegd; de laatste geldt.",
        definition_en="When this version of a record was registered; the last one counts.",
        written=names.VERSION,
        broader="extension",
    ),
    Term(
        id="withdrawn",
        nl="ingetrokken",
        en="withdrawn",
        definition_nl="Dat een logregel met deze versie is vervallen.",
        definition_en="That a record was withdrawn with this version.",
        written=names.WITHDRAWN,
        broader="extension",
    ),
    Term(
        id="movedTo",
        nl="verplaatst naar",
        en="moved to",
        definition_nl="De trace waar een logregel naartoe ging.",
        definition_en="The trace that a record went to.",
        written=names.MOVED_TO,
        broader="extension",
    ),
    Term(
        id="confidentialRecord",
        nl="vertrouwelijke logregel",
        en="confidential record",
        definition_nl="Dat een logregel vertrouwelijk is, wat het register ook zegt.",
        definition_en="That a record is confidential, whatever the register says.",
        written=names.CONFIDENTIAL,
        broader="extension",
    ),
    Term(
        id="keptUntil",
        nl="eigen bewaartermijn",
        en="term of the record itself",
        definition_nl="Tot wanneer een logregel bewaard wordt, als die een eigen termijn heeft.",
        definition_en="Until when a record is kept, where it has a term of its own.",
        written=names.KEPT_UNTIL,
        broader="extension",
    ),
    Term(
        id="jsonValues",
        nl="gegevens die geen tekst zijn",
        en="attributes that are no text",
        definition_nl="De namen van gegevens die een getal, ja of nee, een lijst of een object zijn.",
        definition_en="The names of attributes that are a number, a boolean, a list or an object.",
        written=names.JSON_VALUES,
        broader="extension",
    ),
    Term(
        id="outcomeOf",
        nl="uitkomst van",
        en="outcome of",
        definition_nl="Het span-id van de actie waarvan deze logregel de uitkomst is, die later kwam.",
        definition_en="The span id of the action that this record is the outcome of, which came later.",
        written=names.OUTCOME_OF,
        broader="extension",
    ),
    Term(
        id="rolledBack",
        nl="teruggedraaid",
        en="rolled back",
        definition_nl=(
            "`true` bij een actie die goed eindigde en waarvan de transactie daarna werd teruggedraaid: wat zij "
            "deed, is ongedaan gemaakt."
        ),
        definition_en=(
            "`true` for an action that ended well and whose transaction was rolled back afterwards: what it did "
            "was undone."
        ),
        written=names.ROLLED_BACK,
        broader="extension",
    ),
    Term(
        id="fscTransactionId",
        nl="transactie van FSC",
        en="transaction of FSC",
        definition_nl="De transactie waarmee een ander via FSC om de actie vroeg.",
        definition_en="The transaction in which another party asked for the action through FSC.",
        written=names.FSC_TRANSACTION_ID,
        broader="extension",
    ),
    Term(
        id="leftOut",
        nl="weggelaten systeemgegevens",
        en="left out of the resource",
        definition_nl="De namen van gegevens over het systeem die niet bewaard zijn.",
        definition_en="The names of attributes of the resource that are not kept.",
        written=names.LEFT_OUT,
        broader="extension",
    ),
    Term(
        id="recordError",
        nl="reden van een kale logregel",
        en="reason of a bare record",
        definition_nl="Het soort fout waardoor alleen een kale logregel gemaakt kon worden.",
        definition_en="The type of the error because of which only a bare record could be made.",
        written=names.RECORD_ERROR,
        broader="extension",
    ),
    Term(
        id="reason",
        nl="reden",
        en="reason",
        definition_nl="Waarom iemand gegevens inzag of nummers koppelde.",
        definition_en="Why somebody looked into records or linked numbers.",
        written=names.REASON,
        broader="extension",
    ),
    Term(
        id="officer",
        nl="pseudoniem van de functionaris",
        en="officer",
        definition_nl="Het pseudoniem van wie gegevens inzag.",
        definition_en="The pseudonym of who looked into records.",
        written=names.OFFICER,
        broader="extension",
    ),
    Term(
        id="link",
        nl="koppeling van nummers",
        en="link of numbers",
        definition_nl="De koppeling waarmee twee nummers als van één persoon gelden.",
        definition_en="The link by which two numbers count as one person's.",
        written=names.LINK,
        broader="extension",
    ),
    Term(
        id="verwerkingsactiviteit",
        nl="verwerkingsactiviteit",
        en="processing activity",
        definition_nl="Een soort dataverwerking met een doel en een grondslag, als inschrijving in het register.",
        definition_en="A kind of data processing with a purpose and a legal ground, as an entry of the register.",
        written="register.id",
        broader="register",
    ),
    Term(
        id="activityName",
        nl="naam van de verwerkingsactiviteit",
        en="name of the processing activity",
        definition_nl="Hoe mensen een verwerkingsactiviteit noemen.",
        definition_en="What people call a processing activity.",
        written="register.name",
        standard=f"{RDFS}label",
        broader="verwerkingsactiviteit",
    ),
    Term(
        id="purpose",
        nl="doel",
        en="purpose",
        definition_nl="Waarvoor gegevens verwerkt worden.",
        definition_en="Why data is processed.",
        written="register.purpose",
        broader="verwerkingsactiviteit",
    ),
    Term(
        id="legalGround",
        nl="grondslag",
        en="legal ground",
        definition_nl="Wat in de wet het verwerken toestaat.",
        definition_en="What allows the processing, in law.",
        written="register.legal_ground",
        broader="verwerkingsactiviteit",
    ),
    Term(
        id="retention",
        nl="bewaartermijn",
        en="retention term",
        definition_nl="Hoe lang logregels onder een verwerkingsactiviteit bewaard worden.",
        definition_en="How long records under a processing activity are kept.",
        written="register.retention",
        broader="verwerkingsactiviteit",
    ),
    Term(
        id="confidential",
        nl="vertrouwelijkheid",
        en="confidentiality",
        definition_nl="Of logregels onder een verwerkingsactiviteit niet aan de betrokkene getoond worden.",
        definition_en="Whether records under a processing activity are not shown to the data subject.",
        written="register.confidential",
        datatype="boolean",
        broader="verwerkingsactiviteit",
    ),
    Term(
        id="parent",
        nl="bovenliggende verwerkingsactiviteit",
        en="parent processing activity",
        definition_nl="De verwerkingsactiviteit van dezelfde organisatie waar deze een deel van is.",
        definition_en="The processing activity of the same organisation that this one is part of.",
        written="register.parent",
        standard=f"{DCTERMS}isPartOf",
        datatype="@id",
        broader="verwerkingsactiviteit",
    ),
    Term(
        id="controller",
        nl="verantwoordelijke",
        en="controller",
        definition_nl="De organisatie die voor de verwerking verantwoordelijk is.",
        definition_en="The organisation that answers for the processing.",
        written="register.controller",
        broader="verwerkingsactiviteit",
    ),
    Term(
        id="replaces",
        nl="vorige versie van de verwerkingsactiviteit",
        en="version before",
        definition_nl="De versie van de verwerkingsactiviteit die hieraan voorafging.",
        definition_en="The version of the processing activity before this one.",
        written="register.replaces",
        standard=f"{PROV}wasRevisionOf",
        datatype="@id",
        broader="verwerkingsactiviteit",
    ),
    Term(
        id="retentionText",
        nl="bewaartermijn in woorden",
        en="retention term in words",
        definition_nl="Hoe lang logregels bewaard worden, als dat van een gebeurtenis afhangt.",
        definition_en="How long records are kept, where that depends on an event.",
        written="register.retention_text",
        broader="verwerkingsactiviteit",
    ),
    Term(
        id="validFrom",
        nl="geldig vanaf",
        en="valid from",
        definition_nl="Vanaf wanneer een versie van een verwerkingsactiviteit geldt.",
        definition_en="From when on a version of a processing activity is in force.",
        written="register.valid_from",
        broader="verwerkingsactiviteit",
    ),
)
