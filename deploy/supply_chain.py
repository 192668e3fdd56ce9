"""What the product is made of: a bill of materials, licences, and known vulnerabilities of the locked versions.

Run by `make sbom`, `make licences` and `make audit`. Everything is read from the lock files and the installed packages;
only the audit asks a server, unless it is given a file.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution, version
from pathlib import Path
from typing import Any

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.model.contact import OrganizationalEntity
from cyclonedx.model.license import DisjunctiveLicense, LicenseExpression
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL
from packaging.markers import Marker
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.txt"
OF_IMAGES = ROOT / "deploy" / "requirements-worker.txt"

NOT_AUDITED = 3
"""The exit status of an audit that found nothing because it could not look."""


@dataclass(frozen=True, slots=True)
class Locked:
    """One locked version."""

    name: str
    version: str
    hashes: tuple[str, ...]
    marker: str = ""

    @property
    def is_for_this_machine(self) -> bool:
        """Whether this machine's Python and system install it."""
        return not self.marker or Marker(self.marker).evaluate()


def read_lock(file: Path) -> list[Locked]:
    """Return the versions of a lock file. Raises ValueError for a line that is none, or one without a hash."""
    found = []
    for line in file.read_text("utf-8").replace(" \\\n", "").splitlines():
        entry = re.fullmatch(r"([a-z0-9.-]+)==(\S+)(?: ; (.+?))?((?:\s+--hash=sha256:[0-9a-f]{64})+)", line)
        if entry is None:
            raise ValueError(f"{file.name}: {line[:60]}: is no locked version with hashes")
        hashes = tuple(re.findall(r"sha256:([0-9a-f]{64})", entry[4]))
        found.append(Locked(entry[1], entry[2], hashes, (entry[3] or "").strip()))
    return found


def licence_of(found: Distribution) -> str:
    """Return the licence that a package names: an SPDX expression, its classifiers, or its own words."""
    named = found.metadata.json
    if expression := named.get("license_expression"):
        return str(expression)
    classified = [
        each.rpartition(" :: ")[2]
        for each in found.metadata.get_all("Classifier") or []
        if each.startswith("License :: ") and each != "License :: OSI Approved"
    ]
    if classified:
        return " or ".join(sorted(classified))
    words = str(named.get("license") or "").strip()
    return words.splitlines()[0][:80] if words else "unknown"


def licences(lock: Sequence[Locked]) -> Iterator[tuple[Locked, str]]:
    """Yield each version that this machine installs, with its licence."""
    for each in lock:
        if each.is_for_this_machine:
            try:
                yield each, licence_of(distribution(each.name))
            except PackageNotFoundError:
                yield each, "unknown"


def bill_of_materials() -> str:
    """Return the bill of materials in CycloneDX 1.6 (JSON). What only tests need has the scope `excluded`."""
    in_images = {(each.name, each.version) for each in read_lock(OF_IMAGES)}
    lock = read_lock(LOCK)
    known = {(each.name, each.version): licence for each, licence in licences(lock)}
    product = Component(
        name="throughline",
        version=version("throughline"),
        type=ComponentType.APPLICATION,
        licenses=[LicenseExpression("Apache-2.0")],
        supplier=OrganizationalEntity(name="Throughline"),
    )
    bom = Bom(components=[_component(each, known, in_images) for each in lock])
    bom.metadata.component = product
    bom.register_dependency(product, bom.components)
    return make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=1)


def _component(
    each: Locked, known: Mapping[tuple[str, str], str], in_images: set[tuple[str, str]]
) -> Component:
    key = (each.name, each.version)
    licence = known.get(key, "unknown")
    return Component(
        name=each.name,
        version=each.version,
        type=ComponentType.LIBRARY,
        purl=PackageURL("pypi", None, each.name, each.version),
        bom_ref=f"{each.name}=={each.version}",
        scope=ComponentScope.REQUIRED if key in in_images else ComponentScope.EXCLUDED,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=content) for content in each.hashes],
        licenses=[] if licence == "unknown" else [DisjunctiveLicense(name=licence)],
    )


def audit_online(lock: Path) -> tuple[list[str], list[str]]:
    """Return the vulnerabilities that pip-audit's server knows of, and the packages about which it says nothing."""
    tool = Path(sysconfig.get_path("scripts")) / "pip-audit"
    words = [
        "--requirement",
        str(lock),
        "--no-deps",
        "--disable-pip",
        "--format",
        "json",
        "--progress-spinner",
        "off",
    ]
    ended = subprocess.run([tool, *words], capture_output=True, text=True)
    try:
        found = json.loads(ended.stdout)["dependencies"]
    except (ValueError, KeyError):
        return [], [each.name for each in read_lock(lock) if each.is_for_this_machine]
    known = [
        f"{each['name']} {each['version']}: {fault['id']}, fixed in {', '.join(fault['fix_versions']) or 'none'}"
        for each in found
        for fault in each.get("vulns", [])
    ]
    return known, [each["name"] for each in found if "skip_reason" in each]


def audit_offline(lock: Sequence[Locked], data: Path) -> list[str]:
    """Return the vulnerabilities that a file of advisories knows of: the OSV format, a zip of JSON files."""
    versions = {each.name: each for each in lock}
    found = []
    with zipfile.ZipFile(data) as advisories:
        for name in advisories.namelist():
            advisory = json.loads(advisories.read(name))
            if advisory.get("withdrawn"):
                continue
            for affected in advisory.get("affected", []):
                package = affected.get("package", {})
                each = versions.get(re.sub(r"[-_.]+", "-", package.get("name", "")).lower())
                if each and package.get("ecosystem") == "PyPI" and _is_affected(each.version, affected):
                    found.append(f"{each.name} {each.version}: {advisory['id']}")
    return sorted(set(found))


def _is_affected(version: str, affected: Mapping[str, Any]) -> bool:
    if version in affected.get("versions", []):
        return True
    hit = False
    for span in affected.get("ranges", []):
        if span.get("type") != "ECOSYSTEM":
            continue
        inside = False
        for event in span.get("events", []):
            if "introduced" in event:
                inside |= event["introduced"] == "0" or Version(event["introduced"]) <= Version(version)
            elif "fixed" in event:
                inside &= Version(event["fixed"]) > Version(version)
            elif "last_affected" in event:
                inside &= Version(event["last_affected"]) >= Version(version)
        hit |= inside
    return hit


def audit(lock: Path, data: Path | None) -> int:
    """Print the known vulnerabilities of the locked versions; return the exit status."""
    entries = [each for each in read_lock(lock) if each.is_for_this_machine]
    if data is not None:
        known, unknown = audit_offline(entries, data), list[str]()
        print(f"Compared {len(entries)} locked versions with {data}.")
    else:
        known, unknown = audit_online(lock)
        print(f"Asked about {len(entries)} locked versions; {len(entries) - len(unknown)} were answered.")
    for line in known:
        print(line)
    if known:
        return 1
    if unknown:
        print(
            f"NOT AUDITED: {len(unknown)} of {len(entries)}. The server of advisories was not reached, or does not "
            "know them. Give a file of advisories: make audit AUDIT_DATA=all.zip (OSV's export for PyPI)."
        )
        return NOT_AUDITED
    print("No known vulnerability.")
    return 0


def main(given: Sequence[str] | None = None) -> int:
    """Run one of the commands; return the exit status."""
    parser = argparse.ArgumentParser(description="What the product is made of.")
    parser.add_argument("what", choices=["sbom", "licences", "audit"])
    parser.add_argument("--lock", type=Path, default=LOCK)
    parser.add_argument("--data", type=Path, default=None, help="a zip of advisories in the OSV format")
    asked = parser.parse_args(given)
    if asked.what == "audit":
        return audit(asked.lock, asked.data)
    if asked.what == "sbom":
        print(bill_of_materials())
        return 0
    for each, licence in licences(read_lock(asked.lock)):
        print(f"{each.name}\t{each.version}\t{licence}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
