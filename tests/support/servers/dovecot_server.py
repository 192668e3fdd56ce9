"""A real Dovecot with one mailbox, that a password or a token opens over TLS: its own folder and port."""

from __future__ import annotations

import asyncio
import json
import pwd
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tests.support.servers.debian_server import free_port, needed, open_folder, running
from tests.support.servers.hostile_smtp import make_certificate
from tests.support.servers.oauth_mail import USER

_MAIN = """
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
protocols = imap
listen = 127.0.0.1
ssl = required
ssl_cert = <{folder}/localhost.crt
ssl_key = <{folder}/localhost.key
auth_mechanisms = plain login xoauth2
auth_failure_delay = 0
mail_location = maildir:{folder}/mail
first_valid_uid = 1
passdb {{
  driver = passwd-file
  mechanisms = plain login
  args = scheme=PLAIN username_format=%u {folder}/users
}}
passdb {{
  driver = oauth2
  mechanisms = xoauth2
  args = {folder}/oauth2
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={folder}
}}
namespace inbox {{
  inbox = yes
  mailbox Done {{
    auto = create
  }}
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = 0
  }}
  inet_listener imaps {{
    port = {port}
    ssl = yes
  }}
}}
service anvil {{
  chroot =
}}
"""


@dataclass(frozen=True, slots=True)
class Mailbox:
    """Where it listens, by which authority its certificate is known, and its Maildir."""

    port: int
    ca_file: str
    folder: Path
    host: str = "localhost"

    def put(self, number: int, content: bytes) -> None:
        """Deliver a mail as a delivery agent does: complete, by renaming it into place."""
        written = self.folder / "tmp" / f"{number}.example"
        written.write_bytes(content)
        shutil.chown(written, "nobody")
        written.rename(self.folder / "new" / written.name)

    def read(self, done: str = "") -> list[str]:
        """The names of the mails of a folder that are marked as seen."""
        folder = self.folder / f".{done}" if done else self.folder
        return sorted(file.name for file in folder.glob("cur/*") if "S" in file.name.rpartition(",")[2])


@contextmanager
def dovecot(password: str, tokens: str) -> Iterator[Mailbox]:
    """Run Dovecot within the block; it asks the address `tokens` whether a token holds."""
    command, port = needed("dovecot"), free_port()
    with open_folder() as folder:
        owner = pwd.getpwnam("nobody")
        made = make_certificate(folder)
        for name in ("mail", "mail/new", "mail/cur", "mail/tmp", "state"):
            (folder / name).mkdir()
            shutil.chown(folder / name, owner.pw_uid, owner.pw_gid)
        (folder / "users").write_text(f"{USER}:{password}\n")
        (folder / "oauth2").write_text(
            f"tokeninfo_url = {tokens}?access_token=\nusername_attribute = email\n"
        )
        config = folder / "dovecot.conf"
        config.write_text(_MAIN.format(folder=folder, port=port, uid=owner.pw_uid, gid=owner.pw_gid))
        with running([command, "-F", "-c", str(config)], port, folder / "log"):
            yield Mailbox(port, str(made.certificate), folder / "mail")


@asynccontextmanager
async def token_check(valid: set[str]) -> AsyncIterator[str]:
    """Answer within the block whose a token is, as the sign-in of a provider does; yield the address."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = (await reader.readuntil(b"\r\n\r\n")).decode().split()[1]
        token = parse_qs(urlsplit(asked).query).get("access_token", [""])[0]
        said = json.dumps({"email": USER} if token in valid else {"error": "invalid_token"})
        code = "200 OK" if token in valid else "401 Unauthorized"
        writer.write(
            f"HTTP/1.1 {code}\r\nContent-Type: application/json\r\nContent-Length: {len(said)}\r\n"
            f"Connection: close\r\n\r\n{said}".encode()
        )
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/tokeninfo"
