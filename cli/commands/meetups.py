"""`throughline meetup`: meetups of a program, who comes, and the events behind them (MEE1)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import uuid4

import typer

from cli.commands.events import store_directly
from cli.event_files import SOURCE
from cli.groups import command_group
from cli.output import Json, print_facts, print_json, print_json_lines, print_table
from cli.runner import run
from rules.events import Envelope, check_event
from staff.formatting import local, local_iso
from staff.meetups import MOST_PEOPLE, MeetupSummary, MeetupView, meetup_list, meetup_view
from staff.views import NotFound
from worker.connections import database_ready, read_programs, read_settings
from worker.errors import Failure

app = command_group("Show meetups and who comes; schedule, change and cancel them.")

Meetup = Annotated[str, typer.Argument(help="The meetup's id.")]
Title = Annotated[str, typer.Option(help="The title, as the invitation shows it.")]
StartsAt = Annotated[str, typer.Option(help="Local time in --time-zone, like 2028-04-05T12:00.")]
TimeZone = Annotated[str, typer.Option(help="The IANA name, like America/Bogota.")]
Duration = Annotated[str, typer.Option(help="How long it is, like PT1H30M; an hour by default.")]
Link = Annotated[str, typer.Option(help="Where to join, an https address.")]
Resource = Annotated[
    list[str] | None, typer.Option(help="A link to read afterwards, as 'Title=https://…'; may be repeated.")
]
Preview = Annotated[
    bool, typer.Option("--preview", help="Print how many people it concerns. Nothing changes.")
]


@app.command("list")
def list_meetups(as_json: Json = False) -> None:
    """List the meetups, the latest first, with the counts of the answers."""

    async def read() -> tuple[MeetupSummary, ...]:
        async with database_ready(read_settings()) as database, database.reading() as session:
            return await meetup_list(session, read_programs(read_settings()))

    found = run(read())
    if as_json:
        print_json_lines(map(_summary, found))
        return
    print_table(
        ("meetup", "program", "title", "starts", "state", "invited", "yes", "no", "maybe"),
        (
            (
                *(each.meetup, each.program, each.title, local(each.starts_at, each.zone), _state(each)),
                *(each.invited, each.answers["yes"], each.answers["no"], each.answers["maybe"]),
            )
            for each in found
        ),
        none="There is no meetup.",
    )


# long: what is printed, as JSON and as tables
@app.command()
def show(
    meetup: Meetup,
    answer: Annotated[str, typer.Option(help="Only who answered yes, no, maybe, or none.")] = "",
    as_json: Json = False,
) -> None:
    """Show a meetup: when and where it is, how far its mail is, and who comes."""
    view = run(_read(meetup, answer))
    if as_json:
        print_json(
            {
                **_summary(view.summary),
                "mail": view.mail,
                "resources": [{"title": title, "link": link} for title, link in view.resources],
                "people": [
                    {
                        "member": each.member,
                        "profile": each.profile,
                        "name": each.name,
                        "answer": each.answer,
                        "answered": local_iso(each.answered_at, view.summary.program_zone),
                        "by": each.answered_by,
                    }
                    for each in view.people
                ],
            }
        )
        return
    each = view.summary
    print_facts(
        {
            "meetup": each.meetup,
            "title": each.title,
            "for": f"cohort {each.cohort}" if each.cohort else each.program,
            "state": _state(each),
            "starts": local(each.starts_at, each.zone),
            "ends": local(each.ends_at, each.zone),
            "link": each.link,
            "invited": each.invited,
            **{name: count for name, count in each.answers.items() if count},
            **{name: ", ".join(f"{n} {what}" for what, n in of.items()) for name, of in view.mail.items()},
            **dict(view.resources),
        }
    )
    print_table(
        ("person", "profile", "answer", "at", "by"),
        (
            (who.name, who.profile, who.answer, local(who.answered_at, each.program_zone), who.answered_by)
            for who in view.people
        ),
        title=f"the first {MOST_PEOPLE}" if each.invited > MOST_PEOPLE else None,
        none="Nobody is invited yet." if not each.invited else "Nobody gave this answer.",
    )


# long: each parameter is an option of the command
@app.command()
def schedule(
    meetup: Meetup,
    program: Annotated[str, typer.Option(help="The program's id.")],
    title: Title,
    starts_at: StartsAt,
    time_zone: TimeZone,
    cohort: Annotated[str, typer.Option(help="Invite this cohort only.")] = "",
    duration: Duration = "",
    link: Link = "",
    resource: Resource = None,
) -> None:
    """Schedule a meetup: everybody who takes part is invited at once, by the event meetup.scheduled."""
    given = {"program": program, "cohort": cohort, "title": title, "starts_at": starts_at}
    _send(
        "meetup.scheduled",
        {
            "meetup": meetup,
            **given,
            "time_zone": time_zone,
            "duration": duration,
            "link": link,
            "resources": _resources(resource),
        },
    )
    typer.echo(f"meetup/{meetup} is scheduled: the invitations follow.")


# long: each parameter is an option of the command
@app.command()
def change(
    meetup: Meetup,
    title: Title = "",
    starts_at: StartsAt = "",
    time_zone: TimeZone = "",
    duration: Duration = "",
    link: Link = "",
    resource: Resource = None,
    preview: Preview = False,
) -> None:
    """Change a meetup, or bring its resources: who has the invitation is notified, by the event meetup.changed."""
    view = run(_read(meetup, ""))
    if preview:
        _print_concerned(view)
        return
    given = {"title": title, "starts_at": starts_at, "time_zone": time_zone, "duration": duration}
    _send("meetup.changed", {"meetup": meetup, **given, "link": link, "resources": _resources(resource)})
    typer.echo(f"The change of meetup/{meetup} is accepted.")


@app.command()
def cancel(meetup: Meetup, preview: Preview = False) -> None:
    """Cancel a meetup: who has the invitation gets a cancellation, by the event meetup.canceled."""
    view = run(_read(meetup, ""))
    if preview:
        _print_concerned(view)
        return
    _send("meetup.canceled", {"meetup": meetup})
    typer.echo(f"The cancellation of meetup/{meetup} is accepted.")


async def _read(meetup: str, answer: str) -> MeetupView:
    async with database_ready(read_settings()) as database, database.reading() as session:
        try:
            return await meetup_view(session, meetup, read_programs(read_settings()), answer)
        except NotFound as error:
            raise Failure(str(error)) from None


def _send(kind: str, data: Mapping[str, Any]) -> None:
    """Store an event of now. Raises Failure with what is wrong in its data."""
    checked, problems = check_event(kind, {name: value for name, value in data.items() if value})
    if problems:
        raise Failure(*(f"{each.pointer.rpartition('/')[2]} {each.reason}" for each in problems))
    run(store_directly([Envelope(str(uuid4()), SOURCE, kind, datetime.now(UTC), checked)]))


def _resources(given: list[str] | None) -> list[dict[str, str]]:
    pairs = [each.partition("=") for each in given or ()]
    return [
        {"title": title, "link": link} if link else {"title": title, "link": title}
        for title, _, link in pairs
    ]


def _print_concerned(view: MeetupView) -> None:
    invitations = view.mail.get("member.meetup_invitation", {})
    have = invitations.get("sent", 0) + invitations.get("ambiguous", 0)
    typer.echo(f"{have} people have the invitation, and would be notified.")
    waiting = sum(counts.get("waiting", 0) for counts in view.mail.values())
    typer.echo(f"{waiting} messages are planned. Nothing has changed.")


def _state(each: MeetupSummary) -> str:
    return f"{each.state}, paused" if each.is_paused else each.state


def _summary(each: MeetupSummary) -> dict[str, Any]:
    return {
        "meetup": each.meetup,
        "program": each.program,
        "cohort": each.cohort or None,
        "title": each.title,
        "state": each.state,
        "paused": each.is_paused,
        "starts": local_iso(each.starts_at, each.zone),
        "ends": local_iso(each.ends_at, each.zone),
        "link": each.link or None,
        "invited": each.invited,
        "answers": each.answers,
    }
