"""A real Postfix as the association's relay: its own folder, ports and queue."""

from __future__ import annotations

import pwd
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.support.servers.debian_server import free_port, needed, open_folder, running

_MAIN = """
compatibility_level = 3.6
queue_directory = {folder}/spool
data_directory = {folder}/data
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
myhostname = relay.example.org
mydestination =
local_recipient_maps =
alias_maps =
alias_database =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
disable_dns_lookups = yes
smtp_tls_security_level = none
transport_maps = regexp:{folder}/transport
relayhost = [127.0.0.1]:{far}
notify_classes =
"""
_MASTER = """
127.0.0.1:{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


@dataclass(frozen=True, slots=True)
class Relay:
    """Where it listens."""

    port: int
    host: str = "127.0.0.1"


@contextmanager
def postfix(far: int, bounces: int) -> Iterator[Relay]:
    """Run Postfix within the block. It sends mail to the port `far`, and that of a bounce address to `bounces`."""
    command, port = needed("postfix"), free_port()
    with open_folder() as folder:
        (folder / "main.cf").write_text(_MAIN.format(folder=folder, far=far))
        (folder / "master.cf").write_text(_MASTER.format(port=port))
        (folder / "transport").write_text(f"/\\+[0-9a-f]{{32}}@/ smtp:[127.0.0.1]:{bounces}\n")
        for name in ("spool", "data"):
            (folder / name).mkdir(mode=0o755)
        owner = pwd.getpwnam("postfix")
        shutil.chown(folder / "data", owner.pw_uid, owner.pw_gid)
        # `postfix start-fg` leaves a master behind when it ends; `check` makes the folders of the queue.
        subprocess.run([command, "-c", str(folder), "check"], check=True, capture_output=True)
        with running([needed("master"), "-c", str(folder), "-s"], port, folder / "log"):
            yield Relay(port)
