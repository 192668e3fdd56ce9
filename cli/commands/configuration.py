"""`throughline config check` and `config register`: whether a deployment can work with its settings."""

from __future__ import annotations

import typer

from cli.groups import command_group
from cli.output import Json, print_json_lines, print_table, working
from cli.runner import run
from worker.configuration.configuration_check import check_configuration
from worker.configuration.findings import SettingFinding, Verdict
from worker.connections import connect, read_settings
from worker.errors import Failure

config_app = command_group("Check the settings of a deployment.")


@config_app.callback()
def _config() -> None:
    pass


@config_app.command()
def check(as_json: Json = False) -> None:
    """Connect to all that the settings name, and print what is right and what is wrong.

    Nothing is sent or changed. The exit status is 1 if something is wrong; a warning alone is none.
    """
    settings = read_settings()

    async def look() -> list[SettingFinding]:
        with working("Checking the settings"):
            return await check_configuration(settings)

    found = run(look())
    if as_json:
        print_json_lines(
            {"about": each.about, "verdict": each.verdict.value, "words": each.words} for each in found
        )
    else:
        print_table(
            ("what", "verdict", "why"), [(each.about, each.verdict.value, each.words) for each in found]
        )
    if any(each.verdict is Verdict.WRONG for each in found):
        raise typer.Exit(1)


@config_app.command()
def register() -> None:
    """Register the search attributes of lifecycles in Temporal's namespace.

    Once for each namespace, before or after the first start. A repeat changes nothing. Workers use them within a
    minute.
    """
    from temporalio.service import RPCError

    from activities.search_attributes import register_attributes

    async def add() -> list[str]:
        try:
            return await register_attributes(await connect())
        except RPCError as error:
            raise Failure(
                f"Temporal does not register search attributes for us ({error.status.name}): have its operator do it"
            ) from None

    added = run(add())
    typer.echo(f"Registered: {', '.join(added)}." if added else "The namespace has all search attributes.")
