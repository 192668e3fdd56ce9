"""The version of a worker's code: the same on every machine that has the same code and the same SDK."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Final

from temporalio.common import WorkerDeploymentVersion

from worker.connection_file import temporal_variables
from worker.errors import Failure

DEPLOYMENT: Final = "throughline"
"""The name under which all versions of our workers stand in Temporal."""

ROOT: Final = Path(__file__).resolve().parents[2]

ROOMS: Final = (
    *("rules", "database", "lifecycles", "mail", "evidence", "activities", "workflows", "staff", "worker"),
)
"""What a worker runs. Program files and templates have versions of their own."""


@dataclass(frozen=True, slots=True)
class OwnVersion:
    """The version that a worker registers."""

    version: WorkerDeploymentVersion
    routes_itself: bool
    """Whether the worker makes its version current. Temporal's Worker Controller does so for those that it names."""


def own_version(variables: Mapping[str, str] | None = None) -> OwnVersion:
    """Return the version of this worker: as Temporal's variables name it, else that of the code.

    Raises Failure if only a part of it is named.
    """
    given = temporal_variables() if variables is None else variables
    name, build = given.get("TEMPORAL_DEPLOYMENT_NAME"), given.get("TEMPORAL_WORKER_BUILD_ID")
    if not name and not build:
        return OwnVersion(WorkerDeploymentVersion(DEPLOYMENT, build_id()), routes_itself=True)
    if not (name and build):
        raise Failure("a worker's version needs TEMPORAL_DEPLOYMENT_NAME and TEMPORAL_WORKER_BUILD_ID")
    return OwnVersion(WorkerDeploymentVersion(name, build), routes_itself=False)


@cache
def build_id() -> str:
    """Return the release with a fingerprint of the code and the SDK, such as `0.3.0-1f2e3d4c5b6a`."""
    sdk = f"temporalio {version('temporalio')}"
    return f"{version('throughline')}-{fingerprint(ROOT, sdk)}"


def fingerprint(root: Path, sdk: str) -> str:
    """Return twelve digits that change with any file of the rooms, and with the SDK."""
    digest = hashlib.sha256(sdk.encode())
    for room in ROOMS:
        for file in sorted((root / room).rglob("*.py")):
            digest.update(f"\0{file.relative_to(root).as_posix()}\0".encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()[:12]
