"""`throughline demo`: the main job on embedded parts, with a clock that a page or a script moves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import select
from starlette.datastructures import FormData
from temporalio.client import WorkflowUpdateFailedError
from temporalio.service import RPCError

from database.models import Event, Member
from embedded.demo.cast import PLACES, Cast
from embedded.demo.cohorts.cohort_days import DemoCohort, announce, cohort_ahead
from embedded.demo.overview import Overview, read_overview
from embedded.demo.pending_work import settle
from embedded.demo.simulation import Simulation, checked, sign_up_events
from embedded.demo.words import message_words
from embedded.mail_pages import city, moment
from embedded.mailbox import Mailbox
from embedded.progress import ClockStalled
from embedded.stack import EmbeddedStack, WorkflowFailed
from gateway.links.page import form_text
from lifecycles.participants import participants
from lifecycles.timeline import next_change, next_due
from rules.calendar import instant_in
from rules.durations import parse_duration
from rules.events import check_event
from rules.program import Program
from staff.cohorts import CohortView, cohort_view
from workflows.messages import Answer

STEPS: Final = {"day": "P1D", "week": "P1W", "month": "P1M"}
EXTENDS_BY: Final = {"onboarding": "check_ins", "request": "business_days", "engagement": "months"}
MOST_MEMBERS: Final = 500
ACTOR: Final = "demo"


@dataclass(frozen=True, slots=True)
class Notice:
    """What the last press of a button did: a title and lines; `mail` is a mail's number to look at."""

    title: str
    lines: Sequence[tuple[str, int | None]] = ()
    wrong: bool = False


@dataclass(frozen=True, slots=True)
class SignUp:
    """What somebody typed to sign up."""

    name: str = ""
    email: str = ""
    role: str = "mentee"
    language: str = "en"
    zone: str = "America/New_York"

    @classmethod
    def of(cls, form: FormData) -> SignUp:
        """From a form, as it was typed."""
        return cls(*(form_text(form, name) for name in ("name", "email", "role", "language", "zone")))


@dataclass
class Demo:
    """A program on a clock of its own. Acts wait for each other; what one changed is its notice."""

    stack: EmbeddedStack
    program: Program
    cast: Cast
    mailbox: Mailbox
    cohort: DemoCohort | None = None
    """The cohort that is played, in a cohort program."""
    notice: Notice | None = None
    seen: int = 0
    """How many mails there were before the last act."""
    moving: bool = False
    autoplay: bool = True
    """Whether the sample members ask and answer by themselves."""
    _simulation: Simulation = field(init=False)
    _acting: asyncio.Lock = field(default_factory=asyncio.Lock)
    _guests: int = 0
    _requests: int = 0

    def __post_init__(self) -> None:
        self._simulation = Simulation(self.stack, self.program, self.cast, self._name_request)

    @property
    def zone(self) -> str:
        """The program's zone."""
        return self.program.hours.zone

    @property
    def example(self) -> str:
        """A command that shows something of it."""
        return f"cohort show {self.cohort.cohort}" if self.cohort else "show onboarding/p-ana"

    async def now(self) -> datetime:
        """Program time."""
        return await self.stack.clock.now()

    async def begin(self) -> datetime:
        """Let the sample members sign up who do so at the demo's start; return the instant of it."""
        now = await self.now()
        self.cohort = cohort_ahead(self.program, now)
        start = self.cohort.starts_at if self.cohort else demo_start(now, self.zone)
        await self.stack.advance(start)
        if self.cohort:
            await announce(self.stack, self.cohort, self.cast, self.program)
            await settle(self.stack)
        self._simulation.begin(start)
        given: list[tuple[str, dict[str, Any]]] = []
        later = {part.member for part in self.cast.personas.values() if part.signs_up_after is not None}
        for sample in self.cast.samples:
            if sample.member not in later:
                given += sign_up_events(sample, start.year, self.program.id)
        await self.stack.send_events(start, given)
        await settle(self.stack)
        return start

    async def cohort_now(self, language: str = "en") -> CohortView | None:
        """Return the cohort as staff see it, with reasons in a language; None in a program without."""
        if self.cohort is None:
            return None
        async with self.stack.database.reading() as session:
            return await cohort_view(session, self.cohort.cohort, self.stack.programs, language)

    async def give(self, event: tuple[str, dict[str, Any]]) -> None:
        """Send an event now, and let it be applied."""
        await self.stack.send_events((await self.now()).replace(microsecond=0), [event])
        await settle(self.stack)

    def blank_sign_up(self) -> SignUp:
        """Return the form to sign up, before anybody typed."""
        return SignUp(language=self.program.languages[0], zone=self.cast.home)

    async def overview(self) -> Overview:
        """Where everything stands now."""
        return await read_overview(self.stack.database, self.stack.programs, self.program, await self.now())

    async def next_due(self) -> datetime | None:
        """The next instant at which something is due."""
        due = await next_due(self.stack.database, await self.now())
        acts = await self._simulation.next_at() if self.autoplay else None
        return min(filter(None, (due, acts)), default=None)

    async def advance(self, step: str) -> None:
        """Move the clock: to the `next` event, or by a `day`, `week` or `month` of the program's calendar."""

        async def move() -> Notice:
            now = await self.now()
            if step == "next":
                target = await self.next_due()
                if target is None:
                    return Notice("Nothing more is due. Sign somebody up, or let time pass by a month.")
            else:
                target = parse_duration(STEPS[step]).after(now.replace(second=0, microsecond=0), self.zone)
            await self.move_to(target)
            return Notice(f"It is {moment(target, self.zone)} in {city(self.zone)}")

        await self._act(move)

    async def move_to(self, target: datetime) -> None:
        """Let the clock run to an instant, and what falls due on the way happen."""
        self.moving = True
        try:
            while self.autoplay and (stop := await self._stop_before(target)):
                await self._reach(stop)
                if await self._simulation.act(await self.now()):
                    await settle(self.stack)
            await self._reach(target)
        finally:
            self.moving = False

    async def _stop_before(self, target: datetime) -> datetime | None:
        """The next instant, until `target`, at which somebody acts, or at which what they act on may come about."""
        change = await next_change(self.stack.database, await self.now())
        stop = min(filter(None, (change, await self._simulation.next_at())), default=None)
        return stop if stop and stop <= target else None

    async def _reach(self, target: datetime) -> None:
        await self.stack.advance(target)
        await settle(self.stack)

    async def sign_up(self, given: SignUp) -> dict[str, str]:
        """Sign somebody up; what is wrong, by field, if that cannot be."""
        errors: dict[str, str] = {}
        if given.role not in ("mentor", "mentee"):
            errors["role"] = "Choose one of the two."
        if given.language not in self.program.languages:
            errors["language"] = "Choose one of the program's languages."
        place = PLACES.get(given.zone)
        if place is None:
            errors["zone"] = "Choose one of the places."
        if self._guests >= MOST_MEMBERS:
            errors["name"] = f"A demo has room for {MOST_MEMBERS} guests. Start another one for more."
        member = {
            "member": f"guest-{self._guests + 1}",
            "name": given.name,
            "email": given.email,
            "standing": "good",
            "languages": [given.language],
            "country": place and place.country,
            "subdivision": place and place.subdivision,
            "time_zone": given.zone,
        }
        checked, problems = check_event("member.updated", member)
        for problem in problems:
            fieldname = problem.pointer.removeprefix("/data/").partition("/")[0]
            if fieldname in ("name", "email"):
                errors.setdefault(fieldname, f"This {problem.reason}.")
        if errors or problems:
            return errors or {"name": f"This {problems[0].reason}."}

        async def store() -> Notice:
            self._guests += 1
            now = (await self.now()).replace(microsecond=0)
            profile = self._profile(f"p-guest-{self._guests}", checked["member"], given.role)
            await self.stack.send_events(now, [("member.updated", checked), profile])
            await settle(self.stack)
            return Notice(f"{given.name} is signed up as a {given.role}.")

        await self._act(store)
        return {}

    async def ask(self, mentee: str, mentor: str, message: str = "") -> str:
        """Let a mentee's profile ask a mentor's (REQ1); the request's id."""
        name = self._name_request()
        data = {"request": name, "mentee": mentee, "mentor": mentor, "message": message or None}
        checked, problems = check_event(
            "request.created", {key: value for key, value in data.items() if value is not None}
        )

        async def send() -> Notice:
            if problems:
                return Notice(f"Refused: this {problems[0].reason}", wrong=True)
            at = (await self.now()).replace(microsecond=0)
            await self.stack.send_events(at, [("request.created", checked)])
            await settle(self.stack)
            if refused := await self._refusal(f"request/{name}"):
                return refused
            async with self.stack.database.reading() as session:
                who = await participants(session, [mentee, mentor])
            names = [who[one].member.name if one in who else one for one in (mentee, mentor)]
            return Notice(f"{names[0]} asks {names[1]}. The answer is a link in the mail to {names[1]}.")

        await self._act(send)
        return name

    async def _refusal(self, subject: str) -> Notice | None:
        """Return the notice of the last event about a subject, if it was refused."""
        last = select(Event).where(Event.subject == subject).order_by(Event.id.desc()).limit(1)
        async with self.stack.database.reading() as session:
            event = await session.scalar(last)
        if event is None or event.state != "refused":
            return None
        return Notice(f"Refused, and nothing was sent: {event.reason}", wrong=True)

    def _name_request(self) -> str:
        self._requests += 1
        return f"r-{self._requests}"

    async def set_autoplay(self, on: bool) -> None:
        """Let the sample members ask and answer by themselves, or leave that to the player."""

        async def change() -> Notice:
            self.autoplay = on
            if on:
                return Notice("The sample members ask and answer by themselves.")
            return Notice("The sample members wait: ask and answer for them, by the links in their mail.")

        await self._act(change)

    async def answer(self, request: str, kind: str) -> None:
        """Let the mentor answer a request: `accepted` or `declined` (REQ5, REQ6)."""

        async def send() -> Notice:
            at = (await self.now()).replace(microsecond=0)
            await self.stack.send_events(at, [checked(f"request.{kind}", {"request": request})])
            await settle(self.stack)
            return await self._refusal(f"request/{request}") or Notice(f"The request is {kind}.")

        await self._act(send)

    async def staff(self, target: str, act: str, reason: str = "", count: int = 1) -> None:
        """Do a staff act to a lifecycle by its workflow's update (STA1); the notice says what it changed.

        `count` is by how much to extend: check-ins, business days or months, as the lifecycle has it.
        """

        async def update() -> Notice:
            argument: dict[str, Any] = {"reason": reason, "actor": ACTOR}
            if act == "extend" and (unit := EXTENDS_BY.get(target.partition("/")[0])):
                argument[unit] = count
            handle = self.stack.clock.client.get_workflow_handle(target)
            try:
                answer: Answer = await handle.execute_update(
                    act, argument, result_type=Answer, rpc_timeout=timedelta(seconds=20)
                )
            except WorkflowUpdateFailedError as error:
                return Notice(f"Refused: {getattr(error.cause, 'message', None) or error.cause}", wrong=True)
            except RPCError:
                return Notice(f"Refused: there is no open {target}", wrong=True)
            await settle(self.stack)
            whose = next(
                (
                    f"{case.who}'s {case.kind} as {case.role}"
                    for person in (await self.overview()).people
                    for case in person.cases
                    if case.workflow == target
                ),
                target,
            )
            return await self._changed(f"{act.capitalize()}: {whose} is {answer.state}", answer)

        await self._act(update)

    async def set_standing(self, member: str, standing: str) -> None:
        """Let a member's standing lapse, or return (MEM1, MEM2)."""

        async def send() -> Notice:
            async with self.stack.database.reading() as session:
                known = await session.get(Member, member)
            if known is None:
                return Notice("There is no such member.", wrong=True)
            data = {
                "member": known.id,
                "name": known.name,
                "email": known.email,
                "standing": standing,
                "country": known.country,
                "subdivision": known.subdivision,
                "time_zone": known.time_zone,
                "languages": known.languages,
                "years_management": known.years_management,
            }
            await self.stack.send_events(
                (await self.now()).replace(microsecond=0), [checked("member.updated", data)]
            )
            await settle(self.stack)
            return Notice(f"{known.name}: the member database now reports {standing} standing.")

        await self._act(send)

    def _profile(self, profile: str, member: str, role: str) -> tuple[str, dict[str, Any]]:
        return checked(
            "profile.created",
            {"profile": profile, "member": member, "role": role, "program": self.program.id},
        )

    async def _act(self, act: Callable[[], Awaitable[Notice]]) -> None:
        """Do one act at a time, and note what came of it."""
        async with self._acting:
            before, mails = set((await self.overview()).happened), len(self.mailbox)
            try:
                notice = await act()
            except WorkflowFailed as failed:
                notice = Notice(f"A workflow failed: {failed}", wrong=True)
            except ClockStalled as stalled:
                notice = Notice(f"The demo stopped: {stalled}", wrong=True)
            happened = [line for line in (await self.overview()).happened if line not in before]
            lines = [
                *notice.lines,
                *(
                    (f"Mail to {mail.name}: {mail.subject}", mail.number)
                    for mail in self.mailbox
                    if mail.number > mails
                ),
                *((f"{line.who}: {line.what}", None) for line in happened if not line.is_sent),
            ]
            self.notice, self.seen = Notice(notice.title, lines, notice.wrong), mails

    async def _changed(self, title: str, answer: Answer) -> Notice:
        """What an update changed (STA1), each time on the recipient's clock."""
        shifts = [*answer.moved, *answer.dropped, *answer.added]
        async with self.stack.database.reading() as session:
            who = await participants(session, {shift.to for shift in shifts})
        lines: list[tuple[str, int | None]] = []
        for shift in shifts:
            zone = who[shift.to].calendar(self.program).zone if shift.to in who else self.zone
            words = message_words(shift.message, shift.number)
            was = moment(shift.was, zone) if shift.was else "held"
            if shift in answer.dropped:
                lines.append((f"No longer sent: {words} of {was}", None))
                continue
            due = moment(shift.due, zone) if shift.due else "held until it is resumed"
            if shift in answer.added:
                lines.append((f"Added: {words}, {due} ({city(zone)})", None))
            else:
                lines.append((f"Moved: {words}, {was} → {due} ({city(zone)})", None))
        return Notice(title, lines)


def demo_start(now: datetime, zone: str) -> datetime:
    """The next Monday 10:00 of a zone that lies at least a day ahead."""
    day = (now + timedelta(days=1)).astimezone(ZoneInfo(zone)).date()
    while True:
        start = instant_in(zone, day, time(10))
        if day.weekday() == 0 and start >= now + timedelta(days=1):
            return start
        day += timedelta(days=1)
