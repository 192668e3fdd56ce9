"""`throughline badge`: Open Badges 3.0 of letters and certificates, their check and their keys (CPE14)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import httpx
import typer
from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from cli.groups import command_group
from cli.output import Actor, Json, print_json, print_json_lines, print_lines, print_table, working
from cli.program_time import program_time
from cli.runner import run
from database import audit
from database.models import BadgeKey, Engagement, Letter
from database.session import Database
from evidence.badges import badge_keys
from evidence.badges.badge_verifier import (
    BadgeInvalid,
    CheckedBadge,
    NotReadable,
    Published,
    check,
    may_be_read,
)
from evidence.badges.issuing import BadgeIssuer, OpenedBadge
from evidence.letter_codes import as_written
from evidence.renderer import DocumentRenderer
from lifecycles.situation import pinned_program
from staff.formatting import local, local_iso
from worker.connections import database_ready, read_programs, read_settings
from worker.errors import Failure
from worker.settings import Settings

app = command_group("Check and export digital badges, and rotate the keys that sign them.")
keys_app = command_group("The keys that sign badges.")
app.add_typer(keys_app, name="keys")

MOST_BYTES: Final = 512 * 1024
TIMEOUT: Final = 10.0
"""Seconds for each address that is read."""

NO_KEYS: Final = "badges need the key ring of the deployment (THROUGHLINE_SECRET or THROUGHLINE_KEYS)"


@app.command("verify")
def verify_badge(
    file: Annotated[Path, typer.Argument(help="A badge: the signed file that ends in .jwt.")],
    profile: Annotated[
        Path | None,
        typer.Option(
            help="The issuer's profile, DID document or key set, as a file. Nothing is read from the network."
        ),
    ] = None,
    status: Annotated[
        Path | None, typer.Option(help="The status list that the badge names, as a file.")
    ] = None,
    email: Annotated[
        str | None, typer.Option(help="The address of the person whose badge it should be.")
    ] = None,
    at: Annotated[
        datetime | None, typer.Option(help="The instant of the check in UTC, instead of now.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Verify a badge: who signed it, that nothing was changed, and that it was not revoked.

    The keys and the list of revoked badges are read from the issuer's addresses. With --profile the check is offline,
    and looks for a revocation only with --status.
    """
    published = Published(
        profile=_content(profile) if profile else None,
        status=_content(status) if status else None,
        fetch=None if profile else _fetch,
    )
    moment = at.replace(tzinfo=UTC) if at else datetime.now(UTC)
    try:
        checked = check(_content(file), published, moment, email)
    except (BadgeInvalid, NotReadable) as error:
        if as_json:
            kind = "invalid" if isinstance(error, BadgeInvalid) else "unknown"
            print_json({"file": str(file), "valid": False, "state": kind, "reason": str(error)})
            raise typer.Exit(1) from None
        raise Failure(f"{file}: {error}") from None
    if as_json:
        print_json({"file": str(file), "valid": True, "state": checked.status, **_as_json(checked)})
        return
    tail = "" if checked.status == "valid" else "; whether it was revoked was not checked (--status)"
    print_lines(
        f"{file}: valid: {checked.name}, issued by {checked.issuer_name} ({checked.issuer}) "
        f"on {checked.since:%Y-%m-%d}{tail}"
    )


@app.command("export")
def export_badge(
    document: Annotated[
        str,
        typer.Argument(
            help="The code of a letter or certificate, or the id of a claim, as claim/r-1/mentor/CPP."
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="The file to write; by default, badge-CODE.jwt.")] = None,
    as_json: Json = False,
) -> None:
    """Write the badge of a letter or certificate, signed. It is made now if there is none yet."""
    settings = read_settings()
    programs = read_programs(settings)

    async def read() -> OpenedBadge:
        issuer = _issuer(settings)
        async with database_ready(settings) as database:
            at = await program_time(database)
            async with database.begin() as session:
                letter = await _document(session, document)
                engagement = await session.get_one(Engagement, f"engagement/{letter.engagement_id}")
                program = await pinned_program(session, programs, engagement)
                row = await issuer.issue(session, program, letter.id, at)
                opened = await issuer.open(session, row.id) if row else None
                if opened is None:
                    raise Failure(await _why_none(session, letter, has_row=row is not None))
                return opened

    opened = run(read())
    file = out or Path(f"badge-{opened.letter.id}.jwt")
    file.write_text(opened.text, encoding="ascii")
    address = _issuer(settings).addresses.badge(opened.row.id)
    if as_json:
        print_json({"file": str(file), "letter": opened.letter.id, "address": address})
        return
    print_lines(f"{file}: the badge of {opened.letter.id}. Its page: {address}")


@keys_app.command("list")
def list_keys(as_json: Json = False) -> None:
    """List the keys, the one that signs now first. Times are on the clock of the program."""

    async def read() -> Sequence[BadgeKey]:
        async with database_ready(read_settings()) as database, database.reading() as session:
            return await badge_keys.all_keys(session)

    zone = next(iter(read_programs(read_settings()).values())).hours.zone
    rows = run(read())
    if as_json:
        print_json_lines(
            {
                "key": row.kid,
                "state": _state(row),
                "made": local_iso(row.made_at, zone),
                "retired": local_iso(row.retired_at, zone),
            }
            for row in rows
        )
        return
    print_table(
        ("key", "state", "made", "retired"),
        ((row.kid, _state(row), local(row.made_at, zone), local(row.retired_at, zone)) for row in rows),
        none="There is no key yet: the first badge makes it.",
    )


@keys_app.command("rotate")
def rotate_keys(
    reason: Annotated[str, typer.Option(help="Why, for the audit record.")],
    compromised: Annotated[
        bool,
        typer.Option(
            "--compromised",
            help="The key leaked: nothing that it signed is believed any more. Badges are signed again.",
        ),
    ] = False,
    actor: Actor = "",
) -> None:
    """Make a new key that signs from now on. What older keys signed can still be verified."""
    settings = read_settings()

    async def rotate() -> tuple[str, int]:
        issuer = _issuer(settings)
        async with database_ready(settings) as database:
            at = await program_time(database)
            kid = await _rotated(database, at, compromised, actor, reason)
            count = 0
            while compromised:
                async with database.begin() as session:
                    done = await issuer.sign_again(session, at)
                if not done:
                    break
                count += done
                show(f"{count} badges")
            return kid, count

    with working("Signing badges again") as show:
        kid, count = run(rotate())
    again = (
        f" {count} badges were signed again: copies from before are no longer valid." if compromised else ""
    )
    print_lines(f"{kid} signs from now on.{again}")


async def _rotated(database: Database, at: datetime, compromised: bool, actor: str, reason: str) -> str:
    async with database.begin() as session:
        await audit.lock(session, "badges/keys")
        before = await badge_keys.all_keys(session)
        row = await badge_keys.rotate(session, at, compromised=compromised)
        if row is None:
            raise Failure(NO_KEYS)
        data = {"act": "badge key rotated", "key": row.kid, "compromised": compromised}
        if before:
            data["before"] = before[0].kid
        veiled = {"reason": reason}
        await audit.append(
            session, "badges/keys", "act", at.replace(microsecond=0), data, actor=actor, veiled=veiled
        )
        return row.kid


def _state(row: BadgeKey) -> str:
    if row.withdrawn_at is not None:
        return "withdrawn"
    return "retired" if row.retired_at is not None else "signs"


async def _document(session: AsyncSession, named: str) -> Letter:
    """Return the letter or certificate with a code, or the one that a claim was decided by. Raises Failure."""
    query = select(Letter).where(
        or_(Letter.id == as_written(named), Letter.id == named, Letter.claim == named)
    )
    found = (await session.scalars(query.order_by(Letter.signed_at.desc(), Letter.id))).first()
    if found is None:
        raise Failure(f"there is no letter or certificate {named}")
    return found


async def _why_none(session: AsyncSession, letter: Letter, *, has_row: bool) -> str:
    if session.info.get("keys") is None:
        return NO_KEYS
    if letter.revoked_at is not None:
        return f"{letter.id} was revoked, and has no badge"
    if has_row:
        return f"the badge of {letter.id} was withdrawn: the person was erased, or the key ring lacks its key"
    return f"{letter.id} has no badge yet: its credit is not earned, or its document is not made"


def _issuer(settings: Settings) -> BadgeIssuer:
    # Imported when called: it brings in Temporal and the mail, which the check of a badge does not need.
    from worker.assembly import DOCUMENTS

    return BadgeIssuer(DocumentRenderer(DOCUMENTS), settings.base_url)


def _as_json(checked: CheckedBadge) -> dict[str, object]:
    return {
        "id": checked.id,
        "name": checked.name,
        "issuer": checked.issuer,
        "issuer_name": checked.issuer_name,
        "since": checked.since,
    }


def _content(file: Path) -> bytes:
    if not file.is_file():
        raise Failure(f"{file}: no such file")
    with file.open("rb") as opened:
        content = opened.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise Failure(f"{file}: it is larger than a badge or a profile can be")
    return content


def _fetch(address: str) -> bytes:
    """Read an address of the issuer. No redirect is followed: it could lead anywhere. Raises NotReadable."""
    if not may_be_read(address):
        raise NotReadable(f"{address} is not read: it is no HTTPS address")
    content = b""
    try:
        with httpx.stream("GET", address, timeout=TIMEOUT, headers={"Accept": "*/*"}) as answer:
            if answer.status_code != 200:
                raise NotReadable(f"{address} answers {answer.status_code}")
            for part in answer.iter_bytes():
                content += part
                if len(content) > MOST_BYTES:
                    raise NotReadable(f"{address} answers more than a profile or a list can have")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise NotReadable(f"{address} cannot be read: {error or type(error).__name__}") from None
    return content
