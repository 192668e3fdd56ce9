"""`throughline staff`: acts of staff on a running lifecycle, and what they would change (STA1, STA3)."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cli.commands import staff_accounts
from cli.groups import command_group
from cli.output import Actor, Json, print_json, print_lines, print_table, working
from cli.program_time import program_time
from cli.runner import run
from rules.credit import OTHER, REVOCATIONS
from rules.engagement import END_REASONS
from staff.acts import (
    ActEffect,
    ActRefused,
    ActResult,
    InvalidAct,
    StaffAct,
    UnknownLifecycle,
    WrongUnit,
    check_act,
    execute_act,
    preview_act,
)
from staff.formatting import local, local_iso, numbered
from worker.connections import connect, database_ready, read_programs, read_settings
from worker.errors import Failure

app = command_group(
    "Act on a running onboarding, request, engagement, claim or survey; manage staff accounts."
)
staff_accounts.register(app)

Target = Annotated[
    str,
    typer.Argument(
        help="A workflow id: onboarding/p-1, request/r-1, engagement/r-1, claim/r-1/mentor/CPP, survey/r-1/mentor."
    ),
]
Reason = Annotated[str, typer.Option(help="The reason, for the audit record.")]
PreviewOnly = Annotated[bool, typer.Option("--preview", help="Show what would change. Nothing is changed.")]


@app.command()
def cancel(
    target: Target,
    reason: Reason = "",
    actor: Actor = "",
    preview_only: PreviewOnly = False,
    as_json: Json = False,
) -> None:
    """Cancel it. No planned message is sent."""
    _act(StaffAct("cancel", target, reason, actor), preview_only, as_json)


# long: each parameter is an option of the command
@app.command()
def extend(
    target: Target,
    reason: Reason = "",
    actor: Actor = "",
    check_ins: Annotated[
        int | None, typer.Option(min=1, help="How many check-ins to add, for an onboarding.")
    ] = None,
    business_days: Annotated[
        int | None, typer.Option(min=1, help="How many business days to add, for a request.")
    ] = None,
    months: Annotated[
        int | None, typer.Option(min=1, help="How many months to add, for an engagement.")
    ] = None,
    end: Annotated[str, typer.Option(help="The new last day, YYYY-MM-DD, for an engagement.")] = "",
    preview_only: PreviewOnly = False,
    as_json: Json = False,
) -> None:
    """Extend it by check-ins, business days or months, or to a new end."""
    given: dict[str, Any] = {
        "check_ins": check_ins,
        "business_days": business_days,
        "months": months,
        "end": end or None,
    }
    details = {name: value for name, value in given.items() if value is not None}
    _act(StaffAct("extend", target, reason, actor, details), preview_only, as_json)


@app.command()
def pause(
    target: Target,
    reason: Reason = "",
    actor: Actor = "",
    preview_only: PreviewOnly = False,
    as_json: Json = False,
) -> None:
    """Pause it. No message is sent until it is resumed."""
    _act(StaffAct("pause", target, reason, actor), preview_only, as_json)


@app.command()
def resume(
    target: Target,
    reason: Reason = "",
    actor: Actor = "",
    preview_only: PreviewOnly = False,
    as_json: Json = False,
) -> None:
    """Resume it. What is still planned moves by the length of the pause."""
    _act(StaffAct("resume", target, reason, actor), preview_only, as_json)


@app.command()
def end(
    target: Target,
    reason: Annotated[str, typer.Option(help=f"One of {', '.join(END_REASONS)}.")],
    actor: Actor = "",
    preview_only: PreviewOnly = False,
    as_json: Json = False,
) -> None:
    """End an engagement, for one of the reasons of the rules."""
    _act(StaffAct("end", target, reason, actor), preview_only, as_json)


@app.command()
def accept(
    target: Target,
    reason: Reason = "",
    actor: Actor = "",
    preview_only: PreviewOnly = False,
    as_json: Json = False,
) -> None:
    """Record that a submitted claim was accepted."""
    _act(StaffAct("accept", target, reason, actor), preview_only, as_json)


@app.command()
def reject(
    target: Target,
    reason: Reason = "",
    actor: Actor = "",
    preview_only: PreviewOnly = False,
    as_json: Json = False,
) -> None:
    """Record that a submitted claim was rejected, with the reason."""
    _act(StaffAct("reject", target, reason, actor), preview_only, as_json)


@app.command()
def revoke(
    target: Target,
    reason: Reason = "",
    because: Annotated[
        str, typer.Option(help=f"What the public page of the letter says: {', '.join(REVOCATIONS)}.")
    ] = OTHER,
    actor: Actor = "",
    preview_only: PreviewOnly = False,
    as_json: Json = False,
) -> None:
    """Revoke credit that was earned, with the reason. Nothing is deleted."""
    _act(StaffAct("revoke", target, reason, actor, {"answer": because}), preview_only, as_json)


@app.command()
def reopen(
    target: Target,
    reason: Reason = "",
    actor: Actor = "",
    preview_only: PreviewOnly = False,
    as_json: Json = False,
) -> None:
    """Reopen a claim without evidence, and ask for the evidence once more."""
    _act(StaffAct("reopen", target, reason, actor), preview_only, as_json)


def _act(act: StaffAct, preview_only: bool, as_json: bool) -> None:
    try:
        check_act(act)
    except WrongUnit as wrong:
        options = " or ".join("--" + unit.replace("_", "-") for unit in wrong.units)
        raise typer.BadParameter(f"{act.target} is extended by {options}, and by nothing else") from None
    except InvalidAct as wrong:
        raise typer.BadParameter(str(wrong)) from None
    result = run(_previewed(act) if preview_only else _executed(act))
    if as_json:
        head = {"target": act.target, "act": act.name, "preview": preview_only, "state": result.state}
        more = _preview_as_json(result) if preview_only else {}
        print_json({**head, "changes": [_as_json(effect) for effect in result.effects], **more})
        return
    was = f", now {result.before}" if preview_only and result.before != result.state else ""
    typer.echo(f"{act.target} {'would be' if preview_only else 'is'} {result.state}{was}.")
    _print_result(result)


def _print_result(result: ActResult) -> None:
    print_table(
        ("", "message", "to", "was due", "now due"),
        (_row(effect) for effect in result.effects),
        none="No planned message changes.",
    )
    if result.coming:
        print_table(
            ("", "ahead", "was", "now"),
            (
                (
                    each.change,
                    f"{each.kind} {each.what}",
                    local(each.was, result.zone),
                    local(each.due, result.zone),
                )
                for each in result.coming
            ),
        )
    for task in result.tasks:
        number = f" {task.number}" if task.number else ""
        print_lines(f"Task {task.task}{number} {task.change}: {task.why}")
    for started in result.starts:
        print_lines(f"{started} begins.")
    for claim in result.claims:
        after = claim.result
        stays = after.before == after.state
        print_lines(
            f"{claim.claim} stays {after.state}."
            if stays
            else f"{claim.claim}, now {after.before}, would be {after.state}."
        )
        _print_result(after)


async def _previewed(act: StaffAct) -> ActResult:
    settings = read_settings()
    programs = read_programs(settings)
    async with database_ready(settings) as database:
        try:
            return await preview_act(database, programs, act, await program_time(database))
        except (ActRefused, UnknownLifecycle) as refused:
            raise Failure(str(refused)) from None


async def _executed(act: StaffAct) -> ActResult:
    settings = read_settings()
    programs = read_programs(settings)
    async with database_ready(settings) as database:
        with working(f"Waiting for {act.target} to {act.name}"):
            try:
                return await execute_act(database, await connect(), programs, act)
            except (ActRefused, UnknownLifecycle) as refused:
                raise Failure(str(refused)) from None


def _row(effect: ActEffect) -> tuple[str, str, str, str, str]:
    return (
        effect.change.replace("_", " "),
        numbered(effect.message, effect.number),
        effect.recipient,
        (local(effect.was, effect.zone) or "held") if effect.change != "added" else "",
        (local(effect.due, effect.zone) or "held") if effect.change != "not_sent" else "",
    )


def _as_json(effect: ActEffect) -> dict[str, Any]:
    return {
        "change": effect.change,
        "message": effect.message,
        "number": effect.number,
        "to": effect.to,
        "was": local_iso(effect.was, effect.zone),
        "due": local_iso(effect.due, effect.zone),
    }


def _preview_as_json(result: ActResult) -> dict[str, Any]:
    return {
        "before": result.before,
        "coming": [
            {
                "change": each.change,
                "kind": each.kind,
                "what": each.what,
                "why": each.why,
                "was": local_iso(each.was, result.zone),
                "due": local_iso(each.due, result.zone),
            }
            for each in result.coming
        ],
        "tasks": [
            {"change": each.change, "task": each.task, "id": each.number, "why": each.why}
            for each in result.tasks
        ],
        "starts": list(result.starts),
        "claims": [
            {
                "claim": each.claim,
                "state": each.result.state,
                "changes": [_as_json(effect) for effect in each.result.effects],
                **_preview_as_json(each.result),
            }
            for each in result.claims
        ],
    }
