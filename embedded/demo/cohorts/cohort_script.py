"""The script of the demo of a cohort program, in Spanish: from the window to the graduation (COH1–COH4)."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, time, timedelta
from typing import Any, Final

import typer
from sqlalchemy import select

from database.models import Engagement
from embedded.demo.cohorts.cohort_chronicle import STAFF, Chronicle, day_words
from embedded.demo.cohorts.cohort_days import DemoCohort
from embedded.demo.model import Demo
from embedded.demo.script import kept_files
from embedded.demo.simulation import checked
from embedded.mail_pages import city
from rules.program import program_calendar
from staff.cohorts import CohortPairView, CohortView, report_of
from staff.views.curriculum import progress_of

STEP: Final = timedelta(days=14)
"""How far the clock moves before the script prints what happened."""

_TO_THINK: Final = timedelta(hours=3)
"""How long staff look at a proposal."""

_PAIRED_AGAIN: Final = timedelta(days=21)
"""When staff pair again those whose mentorship broke: on the first business day so long after the kick-off."""

_AFTERWARDS: Final = timedelta(days=20)
"""How long the story goes on after the last day: letters are signed, and surveys answered."""

_ACTOR: Final = "equipo"

_DECISIONS: Final = {
    "asis-laac": (
        ("cohort.pair_locked", "p-ana", "p-beatriz", "El equipo fija la pareja", "preparan un simulacro"),
        ("cohort.pair_changed", "p-martin", "p-joaquin", "El equipo intercambia y forma", "pidió tecnología"),
    ),
    "mentors4u-colombia": (
        ("cohort.pair_locked", "p-mateo", "p-andres", "El equipo fija la pareja", "pidió energía"),
        ("cohort.pair_forbidden", "p-sofia", "p-juliana", "El equipo descarta la pareja", "son primas"),
    ),
}
"""What staff decide about single pairs, by program: the event, the two, how the script says it, and the reason."""

_FIGURES: Final = {
    "mentors": "mentoras y mentores",
    "mentees": "mentees",
    "unpaired": "personas sin pareja",
    "pairs": "mentorías que comenzaron",
    "broken_before_the_start": "parejas que se rompieron antes",
    "running": "mentorías en curso",
    "completed": "mentorías completadas",
    "canceled": "mentorías canceladas",
    "ended_no_fit": "terminaron porque no encajaron",
    "ended_no_time": "terminaron por falta de tiempo",
    "surveys_answered": "encuestas respondidas",
    "certificates": "certificados de participación",
    "claims_earned": "mentorías que dan créditos CPE",
}
"""The figures of the closing report, in its order."""

_MEETUP_AFTER: Final = timedelta(days=60)
"""When the meetup of the script takes place, after the kick-off."""


async def tell_cohort_story(demo: Demo, played: DemoCohort) -> None:
    """Print the story of a cohort in Spanish, from the first day of its window on."""
    story = _CohortStory(demo, played)
    calendar, days = program_calendar(demo.program), played.days
    await story.print_opening()
    await story.go_to(days.review_at(calendar) + _TO_THINK)
    await story.review()
    await story.go_to(calendar.send_at(days.kick_off + _PAIRED_AGAIN) + _TO_THINK)
    await story.pair_again()
    await story.schedule_meetup()
    await story.go_to(calendar.send_at(days.ends + timedelta(days=1)) + _AFTERWARDS)
    await story.print_end()


class _CohortStory:
    """Plays a cohort and prints what happens, each line once."""

    def __init__(self, demo: Demo, played: DemoCohort) -> None:
        self._demo = demo
        self._played = played
        self._chronicle = Chronicle(demo.stack.database, demo.program, demo.stack.programs)
        self._shown: set[str] = set()

    async def go_to(self, target: datetime) -> None:
        """Move to an instant, and print what happens on the way."""
        reached = await self._demo.now()
        while reached < target:
            reached = min(reached + STEP, target)
            await self._demo.move_to(reached)
            await self._print_news()

    async def _print_news(self) -> None:
        _say(*await self._chronicle.news(await self._demo.now()))
        for message, words in (
            ("mentee.paired", "Así dice el correo a"),
            ("member.graduation", "Así dice la invitación a la graduación, a"),
        ):
            self._show_mail(message, words)

    async def print_opening(self) -> None:
        """Print the days of the cohort, and who is expected."""
        demo, days, zone = self._demo, self._played.days, self._demo.zone
        calendar = program_calendar(demo.program)
        opens, closes = days.opens_at(calendar), days.closes_at(calendar) - timedelta(minutes=1)
        _say(
            *("", demo.program.name, ""),
            f"Inscripción: del {day_words(opens, zone)} al {day_words(closes, zone)}.",
            f"Comienzo: {day_words(days.kick_off_at(calendar), zone)}. Duración: {days.months} meses.",
        )
        names = [each.name for each in demo.program.partners if each.id in demo.cast.partners]
        if names:
            _say(f"Organizaciones aliadas: {' y '.join(names)}.")
        _say("", "Estas personas quieren participar:", "")
        for sample in demo.cast.samples:
            partner = demo.program.partner(str(sample.wishes.get("partner", "")))
            more = [sample.language, sample.certification, partner.name if partner else ""]
            place = f"{city(sample.time_zone, 'es')}, {', '.join(filter(None, more))}"
            _say(f"  {sample.name:<24} {sample.roles[0]:<7} {place}")
        _say("", f"Pasan los meses. Las horas son las de {city(zone, 'es')}.", "")
        await self._print_news()

    async def review(self) -> None:
        """Print the proposal; staff lock a pair, make one by an exchange, run the pairing again and confirm."""
        view = await self._view()
        _say("", f"La propuesta n.º {view.proposal}, con la afinidad de cada pareja y sus razones:", "")
        self._print_proposal(view)
        _say("")
        for decision in _DECISIONS[self._demo.program.id]:
            await self._decide(*decision)
        before = _proposed(await self._view())
        await self._staff("pair", "El equipo vuelve a calcular las demás parejas")
        view = await self._view()
        changed = len(_proposed(view) - before)
        _say(
            "",
            f"La propuesta n.º {view.proposal}. Parejas que cambiaron al volver a calcular: {changed}.",
            "",
        )
        self._print_proposal(view)
        _say("")
        await self._staff("confirm", "El equipo confirma las parejas: cada persona recibe su correo")
        await self._print_news()

    async def pair_again(self) -> None:
        """Pair again who is without a mentorship and has a place, if there is anybody (COH3)."""
        if not (await self._view()).unpaired:
            return
        await self._staff("pair", "El equipo busca pareja para quienes están sin mentoría")
        view = await self._view()
        new = [pair for pair in view.pairs if pair.state == "proposed"]
        if not new:
            return
        _say("")
        for pair in new:
            _say(_pair_line(pair))
        _say("")
        await self._staff("confirm", "El equipo confirma: estas mentorías comienzan hoy mismo")
        await self._print_news()

    async def print_end(self) -> None:
        """Print the closing report, the progress by partner, and where certificates and letters are."""
        demo, cohort = self._demo, self._played.cohort
        async with demo.stack.database.reading() as session:
            report = await report_of(session, cohort, demo.stack.programs, "es")
        _say("", f"Informe de cierre de {cohort}:", "")
        for name, count in report.figures.items():
            if count or name in ("unpaired", "completed"):
                _say(f"  {_FIGURES.get(name, name):<34} {count:>3}")
        for each in report.view.unpaired:
            _say("", f"  Sin pareja: {each.name} ({each.role}). {each.why}")
        await self._print_progress()
        _say(
            "",
            f"Se enviaron {len(demo.mailbox)} correos. Los certificados y las cartas, tal como llegaron:",
            *(f"  {mail.name:<24} {path}" for mail, path in kept_files(demo)),
            "",
            "Qué más puede ver:",
            f"  {_padded(f'throughline demo --program {demo.program.id}')} lo mismo, en una página",
            f"  {_padded(f'throughline program show {demo.program.id}')} cada número del programa, con su regla",
            f"  {_padded('throughline rehearse SCENARIO.toml')} un programa propio: meses en segundos",
        )

    async def _print_progress(self) -> None:
        """Print how many steps of the curriculum the people of each partner did (COH4)."""
        if self._demo.program.curriculum is None:
            return
        stack, done, of = self._demo.stack, Counter[str](), Counter[str]()
        async with stack.database.reading() as session:
            rows = await session.scalars(select(Engagement).where(Engagement.cohort == self._played.cohort))
            pairs = await progress_of(session, rows.all(), stack.programs, await self._demo.now())
        for side in (side for pair in pairs for side in pair.sides if side.partner):
            done[side.partner] += side.counts["done"]
            of[side.partner] += side.total
        _say("", "Pasos del currículo hechos, por organización:", "")
        for partner in sorted(of):
            known = self._demo.program.partner(partner)
            _say(f"  {known.name if known else partner:<34} {done[partner]:>3} de {of[partner]}")

    async def _view(self) -> CohortView:
        view = await self._demo.cohort_now("es")
        assert view is not None
        return view

    def _print_proposal(self, view: CohortView) -> None:
        for pair in sorted(view.pairs, key=lambda pair: -(pair.fit or 0)):
            if pair.state == "proposed":
                _say(_pair_line(pair))
        for each in view.unpaired:
            _say(f"     –  {each.name} ({each.role}), sin pareja: {each.why}")

    async def schedule_meetup(self) -> None:
        """Schedule a meetup of everybody in the program, in its zone (MEE1)."""
        calendar, days = program_calendar(self._demo.program), self._played.days
        day = calendar.date_of(calendar.send_at(days.kick_off + _MEETUP_AFTER))
        data = {
            "meetup": f"{self._played.cohort}-encuentro",
            "program": self._demo.program.id,
            "title": "Encuentro de mitad de camino",
            "starts_at": f"{day.isoformat()}T18:00:00",
            "time_zone": self._demo.zone,
            "duration": "PT1H",
            "link": "https://encuentros.example.org/mitad-de-camino",
        }
        await self._demo.give(checked("meetup.scheduled", data))
        words = f"El equipo programa un encuentro para el {day_words(calendar.instant(day, time(18)), self._demo.zone)}"
        _say(self._chronicle.dated(await self._demo.now(), STAFF, words))
        await self._print_news()

    # long: what staff decide, about whom, and why
    async def _decide(self, event: str, mentee: str, mentor: str, words: str, reason: str) -> None:
        data: dict[str, Any] = {"cohort": self._played.cohort, "mentee": mentee, "mentor": mentor}
        names = " con ".join(self._name(profile) for profile in (mentee, mentor))
        _say(self._chronicle.dated(await self._demo.now(), STAFF, f"{words} {names}: {reason}"))
        await self._demo.give(checked(event, {**data, "actor": _ACTOR, "reason": reason}))

    async def _staff(self, act: str, words: str) -> None:
        _say(self._chronicle.dated(await self._demo.now(), STAFF, words))
        await self._demo.staff(self._played.workflow, act)
        if self._demo.notice and self._demo.notice.wrong:
            _say(f"{'':28} {self._demo.notice.title}")

    def _name(self, profile: str) -> str:
        return self._demo.cast.sample(profile.removeprefix("p-")).name

    def _show_mail(self, message: str, words: str) -> None:
        """Print the first mail of a kind to one member in full, once it is there."""
        member = self._demo.cast.shown
        subject = self._chronicle.subjects.get((f"p-{member}", message))
        if subject is None or message in self._shown:
            return
        self._shown.add(message)
        mail = next(
            mail
            for mail in self._demo.mailbox
            if mail.address == f"{member}@example.org" and mail.subject == subject
        )
        _say("", f"    {words} {mail.name}:", "", f"    | {mail.subject}", "    |")
        _say(*(f"    | {line}".rstrip() for line in mail.text.splitlines()), "")


def _proposed(view: CohortView) -> set[tuple[str, str]]:
    return {(pair.mentee, pair.mentor) for pair in view.pairs if pair.state == "proposed"}


def _pair_line(pair: CohortPairView) -> str:
    locked = " (fijada)" if pair.mark == "locked" else ""
    return f"  {pair.fit or 0:>4}  {pair.mentee_name} con {pair.mentor_name}{locked}: {pair.why}"


def _padded(command: str) -> str:
    return f"{command:<48}"


def _say(*lines: str) -> None:
    for line in lines:
        typer.echo(line)
