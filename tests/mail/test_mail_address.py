"""One reading of addresses everywhere: IDNA 2008, invisible characters, reserved domains (MAIL3)."""

from __future__ import annotations

import pytest

from mail.addresses import AddressRefused, envelope_recipient, header_address
from mail.allowlist import RecipientAllowlist
from mail.smtp.verdicts import RecipientRefused
from rules.events import check_event
from rules.mail_address import AddressRejected, mail_address

ZWNJ = "\u200c"


def at_the_door(address: str) -> str | None:
    """The address that an event keeps; None if the event is refused."""
    member = {"member": "ana", "name": "Ana", "email": address, "standing": "good"}
    data, problems = check_event("member.updated", member)
    return None if problems else str(data["email"])


@pytest.mark.rule("MAIL3")
@pytest.mark.parametrize(
    ("given", "ascii"),
    [
        ("ana@faß.de", "ana@xn--fa-hia.de"),
        ("ana@βόλος.gr", "ana@xn--nxasmm1c.gr"),
        (f"ana@نامه{ZWNJ}ای.com", "ana@xn--mgba3gch31f060k.com"),
        ("ana@Bücher.example", "ana@xn--bcher-kva.example"),
        ("Ana.B@EXAMPLE.org", "Ana.B@example.org"),
        ("ana@xn--fa-hia.de", "ana@xn--fa-hia.de"),
    ],
    ids=["sharp s", "final sigma", "joiner", "umlaut", "capitals", "in ASCII already"],
)
def test_domain_becomes_ascii_by_idna_2008_at_every_place(given: str, ascii: str) -> None:
    assert mail_address(given).ascii == header_address(given) == envelope_recipient(given) == ascii
    assert mail_address(given).given == at_the_door(given) == given


@pytest.mark.rule("MAIL3")
@pytest.mark.parametrize(
    "given",
    [
        "ana@example.org\u00a0",
        "\tana@example.org\t",
        "\ufeffana@example.org",
        "ana\u200b@example.org",
        "ana@exa\u200bmple.org",
        "ana@example\u2060.org\u200d",
        "\u202aana@example.org\u202c",
        "ana@exam\u00adple.org\r\n",
    ],
)
def test_what_a_spreadsheet_leaves_is_cleaned_not_refused(given: str) -> None:
    assert mail_address(given).ascii == at_the_door(given) == header_address(given) == "ana@example.org"


@pytest.mark.rule("MAIL3", "MEM6")
@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("ana@mail.invalid", ".invalid is reserved"),
        ("ana@printer.local", ".local is reserved"),
        ("ana@1.0.10.in-addr.arpa", ".arpa is reserved"),
        ("ana@localhost", ".localhost is reserved"),
        ("ana@ab--cd.com", "no hyphens as the third and fourth"),
        ("añá@example.org", "only ASCII characters before the @"),
        ("ana@☃.com", "a full domain name"),
        ("ana@exam ple.org", "a full domain name"),
        ("ana@a@example.org", "one mail address alone"),
        ("", "one mail address alone"),
    ],
)
def test_address_that_is_refused_is_refused_everywhere(given: str, why: str) -> None:
    with pytest.raises(AddressRejected, match=why) as rejected:
        mail_address(given)
    assert not given or given not in str(rejected.value)
    assert at_the_door(given) is None
    with pytest.raises(AddressRefused, match=why):
        header_address(given)
    with pytest.raises(RecipientRefused):
        envelope_recipient(given)


@pytest.mark.rule("MAIL8")
def test_allow_list_names_domains_in_any_script() -> None:
    allowlist = RecipientAllowlist(production=False, allowed=("*@faß.de", "bea@*"))
    assert allowlist.allows("ana@xn--fa-hia.de")
    assert not allowlist.allows("ana@fass.de")
    assert allowlist.allows("bea@example.org")
