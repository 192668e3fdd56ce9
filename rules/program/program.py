"""A program, read from its file and checked against the catalogue of certifications (COH5, CPE12)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from rules.calendar import Calendar, Hours, calendar_for
from rules.program.brand import Brand
from rules.program.catalogue import BUNDLED_CATALOGUE, Catalogue, load_catalogue
from rules.program.cohort_policy import CohortPolicy
from rules.program.curriculum_policy import CurriculumPolicy
from rules.program.extension import LayeredFile, read_layers
from rules.program.logo import LARGEST_LOGO, Logo, read_logo
from rules.program.pairing_policy import PairingPolicy
from rules.program.policies import (
    CreditPolicy,
    EngagementPolicy,
    EventPolicy,
    HoursTable,
    MailPolicy,
    Manager,
    OnboardingPolicy,
    Partner,
    RequestPolicy,
    partners,
    partners_shown,
)
from rules.program.survey_policy import SurveyPolicy
from rules.program.toml_schema import (
    Mistake,
    ProgramError,
    Setting,
    field,
    nested,
    parse,
    settings,
    table,
    texts_missing,
    tuple_of,
)
from rules.program.values import LANGUAGE, MOST_CHECKED, resources
from rules.validation import Issue, ValidationError, email, identifier, nearest, quote, single_line

OF_ITS_VERSION: Final = (
    "policy_version",
    "onboarding",
    "request",
    "engagement",
    "credit",
    "survey",
    "pairing",
    "cohort",
    "curriculum",
)
"""The settings that a running lifecycle keeps as they were when it began."""


@table
class Program:
    """A program (COH5); each field describes itself by its `about`.

    `hours` is what `rules.calendar.calendar_for` takes, `fingerprint` the SHA-256 of the file's content, which names
    the version of the file, `source` the text of the file, with what it extends, and `logo` that of the brand; a
    program that is not read from a folder has none. `cohort` makes it a cohort program; without it members choose each
    other all year round.
    """

    id: str = field(identifier, "COH5", about="the id by which events name the program")
    name: str = field(single_line(75), "ONB7", about="the name that people know")
    policy_version: str = field(identifier, "CPE12", about="the version of these rules that a claim names")
    languages: tuple[str, ...] = field(
        tuple_of(LANGUAGE, least=1, most=20),
        "MAIL5",
        about="languages of mails and pages; the first is the fallback",
    )
    mailbox: str = field(email, "ONB7", about="the program's mailbox, where replies go")
    sender: str = field(email, "ONB7", about="the address that mail comes from")
    organisation: str = field(single_line(), "MAIL5", about="who runs it, for the foot of each mail")
    postal_address: str = field(single_line(300), "MAIL5", about="where, for the foot of each mail")
    manager: Manager = nested(Manager)
    hours: Hours = nested(HoursTable, becomes=HoursTable.hours)
    resources: Mapping[str, str] = field(resources, "MEE2", about="where mails link to")
    onboarding: OnboardingPolicy = nested(OnboardingPolicy)
    request: RequestPolicy = nested(RequestPolicy)
    engagement: EngagementPolicy = nested(EngagementPolicy)
    credit: CreditPolicy = nested(CreditPolicy)
    survey: SurveyPolicy = nested(SurveyPolicy)
    events: EventPolicy = nested(EventPolicy)
    mail: MailPolicy = nested(MailPolicy)
    brand: Brand = nested(Brand, default=Brand())
    pairing: PairingPolicy | None = nested(PairingPolicy, default=None)
    cohort: CohortPolicy | None = nested(CohortPolicy, default=None)
    curriculum: CurriculumPolicy | None = nested(CurriculumPolicy, default=None)
    partners: tuple[Partner, ...] = field(
        partners, "COH4", about="the organisations whose people take part", default=(), show=partners_shown
    )
    fingerprint: str = ""
    logo: Logo | None = None
    source: str = ""

    @property
    def version(self) -> str:
        """The version as people read it: the policy version, and the first digits of the fingerprint."""
        return version_label(self.policy_version, self.fingerprint)

    @property
    def manager_zone(self) -> str:
        """The time zone in which the manager reads clocks."""
        return self.manager.time_zone or self.hours.zone

    def governed_by(self, version: Program) -> Program:
        """Return this program with the rules of another version of its file, by which a lifecycle goes on (CPE12).

        Of that version are `OF_ITS_VERSION` and `hours`. Names, addresses, links, languages, closing days and holidays
        stay, and so do `send_window`, `[events]` and `[mail]`: they say how the deployment works today.
        """
        hours = replace(
            version.hours,
            closing_days=self.hours.closing_days,
            holidays=self.hours.holidays,
            send_window=self.hours.send_window,
        )
        kept = {name: getattr(version, name) for name in OF_ITS_VERSION}
        return replace(self, hours=hours, fingerprint=version.fingerprint, source=version.source, **kept)

    def partner(self, id: str) -> Partner | None:
        """Return a partner by id; None where there is none."""
        return next((partner for partner in self.partners if partner.id == id), None)

    def describe(self) -> list[Setting]:
        """Return every setting in the order of the file: section, key, value, rule ids, and what it is about."""
        return settings(self, "program")

    def language(self, wishes: Iterable[object], written: Collection[str] | None = None) -> str:
        """The first wished language, as `es` or `es-CO`, that the program has, else the program's first (MAIL5).

        `written` names the languages that there are texts in, where that is not all of the program's.
        """
        for wish in wishes:
            code = str(wish or "").lower().replace("_", "-").partition("-")[0]
            if code in self.languages and (written is None or code in written):
                return code
        return self.languages[0]


def parse_program(text: str, file: str, catalogue: Catalogue | None = None) -> Program:
    """Parse the text of a program file. Raises ProgramError with every mistake, each under the name `file`.

    With a catalogue, certifications that it does not have, and caps above its own, are mistakes too.
    """
    return _parsed(LayeredFile.alone(text, file), catalogue)


def _parsed(file: LayeredFile, catalogue: Catalogue | None) -> Program:
    program = parse(
        Program,
        file.content,
        file.file_of,
        texts_at="text",
        also=lambda content: _across(content, catalogue),
    )
    return replace(program, source=file.text)


def load_program(path: Path, catalogue: Catalogue | None = None) -> Program:
    """Load a program file. Raises ProgramError with every mistake, or if the file cannot be read.

    It is merged over the files that it extends, and checked against the given catalogue, or the `catalogue.toml` beside
    it, or the bundled one. The logo of its brand is read from the file beside it.
    """
    file = read_layers(path)
    if catalogue is None:
        beside = path.with_name("catalogue.toml")
        catalogue = load_catalogue(beside if beside.is_file() else BUNDLED_CATALOGUE)
    program = _parsed(file, catalogue)
    if program.brand.logo is None:
        return program
    try:
        return replace(program, logo=_read_logo(path.with_name(program.brand.logo)))
    except ValidationError as wrong:
        reason = f"{program.brand.logo} {wrong}"
        named = file.file_of(("brand", "logo"))
        raise ProgramError((Mistake(named, "brand.logo", reason),)) from None


def _read_logo(path: Path) -> Logo:
    """Read and check a logo. Raises ValidationError."""
    if not path.is_file():
        raise ValidationError("is no file beside the program file")
    try:
        with path.open("rb") as file:
            return read_logo(file.read(LARGEST_LOGO + 1))
    except OSError as error:
        raise ValidationError(f"cannot be read: {error.strerror}") from None


def _across(content: Mapping[str, Any], catalogue: Catalogue | None) -> Iterator[Issue]:
    """Yield an issue for a text of the foot that lacks a language, a link that is none, and by the catalogue."""
    yield from texts_missing(content, "footer")
    link = _inside(content, "cohort", "graduation", str) or "graduation"
    links = content.get("resources")
    if "cohort" in content and isinstance(links, dict) and link not in links:
        yield Issue(
            ("cohort", "graduation"), f"must be a key of resources, not {quote(link)}{nearest(link, links)}"
        )
    yield from texts_missing(content, "title")
    if catalogue is not None:
        yield from _against(content, catalogue)


def version_label(policy_version: str, fingerprint: str) -> str:
    """Return a version as people read it, like `2024-11 (3f2ab1cd5e6f)`."""
    return f"{policy_version} ({fingerprint[:12]})"


def _against(content: Mapping[str, Any], catalogue: Catalogue) -> Iterator[Issue]:
    """Yield an issue for each certification or cap that contradicts the catalogue, in content of any shape."""
    for name, key in (("onboarding", "mentor_certifications"), ("credit", "certifications")):
        for position, code in enumerate(_inside(content, name, key, list)[:MOST_CHECKED]):
            if isinstance(code, str) and code not in catalogue.codes:
                reason = f"{quote(code)} is no certification of the catalogue{nearest(code, catalogue.codes)}"
                yield Issue((name, key, position), reason)
    most: dict[str, int] = {}
    for category in catalogue.categories:
        most[category.id] = max(category.cap, most.get(category.id, 0))
    for name, cap in list(_inside(content, "credit", "caps", dict).items())[:MOST_CHECKED]:
        if name not in most:
            yield Issue(("credit", "caps", name), f"is no category of the catalogue{nearest(name, most)}")
        elif isinstance(cap, int) and cap > most[name]:
            reason = f"must not be above the catalogue's cap of {most[name]}, unlike {quote(cap)}"
            yield Issue(("credit", "caps", name), reason)


def _inside(content: Mapping[str, Any], name: str, key: str, kind: type[Any]) -> Any:
    table = content.get(name)
    value = table.get(key) if isinstance(table, dict) else None
    return value if isinstance(value, kind) else kind()


def program_calendar(program: Program) -> Calendar:
    """Return the program's own calendar, for the dates of an engagement (ENG1)."""
    return calendar_for(program.hours, None, None, None)
