"""What happened in a cohort, in Spanish: one line for what many people got or did on one day."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from babel.dates import format_datetime
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import Event, Profile
from database.session import Database
from lifecycles.participants import participants
from lifecycles.registry import find_lifecycle
from lifecycles.timeline import timeline
from rules.calendar import local_in
from rules.program import Program
from staff.people import People
from staff.views.lifecycles import owners_of

NAMED: Final = 3
"""The people whom a line names; the others it counts."""

MEMBER, STAFF, STATE, TASK, MAIL = "personas", "equipo", "estado", "tarea", "correo"
"""The kinds of lines."""

_ORDER: Final = (MEMBER, STAFF, STATE, TASK, MAIL)

_DEEDS: Final = MappingProxyType(
    {
        "profile.created mentor": ("se inscribe para acompañar", "se inscriben para acompañar"),
        "profile.created mentee": ("se inscribe para recibir mentoría", "se inscriben para recibir mentoría"),
        "profile.updated": ("actualiza su perfil", "actualizan su perfil"),
        "engagement.discovery good_fit": (
            "cuenta que la primera llamada salió bien",
            "cuentan que la primera llamada salió bien",
        ),
        "engagement.discovery not_a_fit": (
            "cuenta que en la primera llamada no encajaron",
            "cuentan que en la primera llamada no encajaron",
        ),
        "engagement.met yes": ("confirma que se reunieron", "confirman que se reunieron"),
        "curriculum.done": ("marca un paso como hecho", "marcan un paso como hecho"),
        "claim.domains_chosen": (
            "elige los dominios de su certificación",
            "eligen los dominios de su certificación",
        ),
        "letter.signed": ("firma la carta para los créditos", "firman la carta para los créditos"),
        "claim.submitted": ("reporta sus créditos", "reportan sus créditos"),
        "survey.answered": ("responde la encuesta", "responden la encuesta"),
        "meetup.answered yes": ("dice que va al encuentro", "dicen que van al encuentro"),
    }
)
"""What one person does, and several, by the type of the event and what it says."""

_STATES: Final = MappingProxyType(
    {
        "cohort": {
            "open": "la inscripción está abierta",
            "pairing": "la inscripción cerró y el programa busca las parejas",
            "review": "las parejas están propuestas",
            "confirmed": "el equipo confirmó las parejas",
            "running": "comienzan las mentorías",
            "closed": "el grupo se cierra",
            "canceled": "el grupo se cancela",
        },
        "engagement": {
            "active": "comienza la mentoría",
            "no_fit": "termina la mentoría: no encajaron",
            "ended": "termina la mentoría antes de tiempo",
            "completed": "completan la mentoría",
        },
        "meetup": {"scheduled": "hay un encuentro programado", "held": "el encuentro se realiza"},
    }
)
"""The states worth a line, by kind."""

_TASKS: Final = MappingProxyType(
    {
        "pairing_review": "revisar las parejas propuestas",
        "pair_broken": "buscar otra pareja: alguien se retiró antes de comenzar",
        "mentor_review": "revisar la experiencia de quien quiere ser mentor",
        "curriculum_lagging": "preguntar qué ayudaría: hay pasos del currículo atrasados",
        "inactive": "preguntar qué pasa: la pareja no se reúne",
        "evidence_missing": "falta una carta",
    }
)
"""What staff have to do, by the kind of the task; another kind is named by itself."""


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that happened, on the clock of the program."""

    at: datetime
    kind: str
    who: str
    what: str
    group: str
    """Lines of one group and one day are printed together."""
    of_many: str = ""
    """What is printed of several people."""


class Chronicle:
    """What happened in a program, as it is read again and again: each line once."""

    def __init__(self, database: Database, program: Program, programs: Mapping[str, Program]) -> None:
        self._database = database
        self._program = program
        self._programs = programs
        self._known: set[Line] = set()
        self.subjects: dict[tuple[str, str], str] = {}
        """The subjects of the mails that were sent, by profile and message; of several the last one."""

    async def news(self, now: datetime) -> list[str]:
        """Return the lines since the last time, those of a day that belong together as one."""
        found = await self._lines(now)
        fresh = [line for line in found if line not in self._known]
        self._known.update(fresh)
        groups: dict[tuple[object, ...], list[Line]] = {}
        for line in sorted(fresh, key=lambda line: (line.at, _ORDER.index(line.kind), line.who)):
            day = local_in(self._program.hours.zone, line.at).date()
            groups.setdefault((day, line.kind, line.group), []).append(line)
        return [self._printed(lines) for lines in groups.values()]

    def dated(self, at: datetime, kind: str, words: str) -> str:
        """Return a line with its time on the program's clock."""
        return f"{when(at, self._program.hours.zone):<18} {kind:<9} {words}"

    def _printed(self, lines: Sequence[Line]) -> str:
        first = lines[0]
        example = "p. ej. " if first.kind == MAIL and len({line.what for line in lines}) > 1 else ""
        people = list(dict.fromkeys(line.who for line in lines if line.who))
        what = first.of_many if first.of_many and len(people) > 1 else first.what
        who = joined(people, "parejas" if first.kind in (STATE, TASK) else "personas")
        return self.dated(first.at, first.kind, f"{who}: {example}{what}" if who else what)

    async def _lines(self, now: datetime) -> list[Line]:
        zone = self._program.hours.zone
        rows = [row async for row in timeline(self._database, zone, now)]
        async with self._database.reading() as session:
            profiles = await session.scalars(select(Profile.id))
            people = People(await participants(session, profiles.all()), self._programs)
            events = await session.scalars(
                select(Event).where(Event.state == "applied", Event.occurred_at <= now)
            )
            found = [line for event in events for line in _deeds(event, people)]
            for row in rows:
                if row["kind"] == "mail" and row["decision"] == "sent":
                    self.subjects[row["to"], row["message"]] = row["subject"]
                if line := await _line(session, row, people):
                    found.append(line)
        return found


def when(at: datetime, zone: str) -> str:
    """Return an instant on a clock, in short Spanish: "mar 27 abr 09:00"."""
    return format_datetime(local_in(zone, at), "EEE d MMM HH:mm", locale="es_CO").replace(".", "")


def day_words(at: datetime, zone: str) -> str:
    """Return a day in Spanish: "miércoles 21 de abril de 2027"."""
    return format_datetime(local_in(zone, at), "EEEE d 'de' MMMM 'de' y", locale="es_CO")


def joined(names: Sequence[str], unit: str = "personas") -> str:
    """Return names as a list: all of them, or the first ones and how many of a unit there are beside them."""
    if len(names) > NAMED + 1:
        return f"{', '.join(names[:NAMED])} y {len(names) - NAMED} {unit} más"
    if len(names) < 2:
        return "".join(names)
    last = names[-1]
    return f"{', '.join(names[:-1])} {'e' if last.startswith(('I', 'Hi')) else 'y'} {last}"


def _deeds(event: Event, people: People) -> Iterable[Line]:
    """Return what people did by an event, where that is worth a line."""
    data = event.data
    says = data.get("answer") or data.get("role", "")
    words = _DEEDS.get(f"{event.type} {says}") or _DEEDS.get(event.type)
    if words is None or event.occurred_at is None:
        return []
    name = people.name(str(data.get("by") or data.get("profile")))
    return [Line(event.occurred_at, MEMBER, name, words[0], words[0], words[1])]


async def _line(session: AsyncSession, row: Mapping[str, Any], people: People) -> Line | None:
    """Return what a row of the timeline says; None where that is not worth a line."""
    subject = str(row.get("subject") or "")
    at = datetime.fromisoformat(row["at"])
    match row["kind"]:
        case "mail" if row["decision"] == "sent":
            of_one = row["message"].startswith("member.")
            group = row["subject"] if of_one else f"{row['message']} {row['number']}"
            return Line(at, MAIL, people.name(row["to"]), f"«{row['subject']}»", group)
        case "state":
            words = _STATES.get(subject.partition("/")[0], {}).get(row["state"])
            return Line(at, STATE, await _names(session, subject, people), words, words) if words else None
        case "task":
            words = _TASKS.get(row["task"], row["task"].replace("_", " "))
            return Line(at, TASK, await _names(session, subject, people), words, words)
        case "credit" if row["status"] == "ready":
            code, earned = row["claim"].rpartition("/")[2], row["earned"]
            what = f"{earned} créditos de {code} listos para reportar; cuentan {row['countable']}"
            return Line(at, STATE, await _names(session, row["claim"], people), what, what)
        case "refused":
            return Line(at, STAFF, "", f"rechazado: {row['event']}: {row['reason']}", row["reason"])
    return None


async def _names(session: AsyncSession, subject: str, people: People) -> str:
    row = await find_lifecycle(session, subject)
    return " con ".join(people.name(profile) for profile in owners_of(row)) if row else ""
