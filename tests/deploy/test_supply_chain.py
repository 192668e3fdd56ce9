"""What the product is made of: the bill of materials, licences, and an audit that says when it could not look."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "deploy" / "supply_chain.py"


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPT, *words], capture_output=True, text=True, cwd=ROOT)


def test_bill_of_materials_has_every_locked_version_with_hashes() -> None:
    found = run("sbom")
    assert found.returncode == 0, found.stderr
    bill = json.loads(found.stdout)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert bill["metadata"]["component"]["name"] == "throughline"
    lock = (ROOT / "requirements.txt").read_text().replace(" \\\n", "").splitlines()
    named = {f"{each['name']}=={each['version']}": each for each in bill["components"]}
    assert set(named) == {line.split(" ")[0] for line in lock}
    assert all(each["hashes"] and each["purl"].startswith("pkg:pypi/") for each in named.values())
    scopes = {each["name"]: each["scope"] for each in named.values()}
    assert (scopes["temporalio"], scopes["pytest"]) == ("required", "excluded")


def test_every_package_of_the_images_names_its_licence() -> None:
    found = run("licences", "--lock", ROOT / "deploy" / "requirements-worker.txt")
    rows = [line.split("\t") for line in found.stdout.splitlines()]
    assert len(rows) > 60
    assert [row[0] for row in rows if row[2] == "unknown"] == []
    # LGPL: the driver of PostgreSQL is used as it is, as a library.
    assert {row[0] for row in rows if "GPL" in row[2]} == {"psycopg", "psycopg-binary"}


def advisory(name: str, **affected: Any) -> dict[str, Any]:
    return {"id": name, "affected": [{"package": {"ecosystem": "PyPI", "name": "Jinja2"}, **affected}]}


def spans(*events: dict[str, str]) -> list[dict[str, Any]]:
    return [{"type": "ECOSYSTEM", "events": list(events)}]


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    """A lock of one package."""
    file = tmp_path / "lock.txt"
    file.write_text(f"jinja2==3.1.5 \\\n    --hash=sha256:{'0' * 64}\n")
    return file


def test_audit_compares_versions_with_a_file_of_advisories(tmp_path: Path, lock: Path) -> None:
    data = tmp_path / "all.zip"
    advisories = [
        advisory("BY-VERSION", versions=["3.1.5"]),
        advisory("FIXED-LATER", ranges=spans({"introduced": "0"}, {"fixed": "3.1.6"})),
        advisory("FIXED-BEFORE", ranges=spans({"introduced": "0"}, {"fixed": "3.1.5"})),
        advisory("LATER", ranges=spans({"introduced": "3.2"})),
        advisory("UP-TO", ranges=spans({"introduced": "3.0"}, {"last_affected": "3.1.5"})),
        advisory("WITHDRAWN", versions=["3.1.5"]) | {"withdrawn": "2028-01-01T00:00:00Z"},
    ]
    with zipfile.ZipFile(data, "w") as archive:
        for each in advisories:
            archive.writestr(f"{each['id']}.json", json.dumps(each))
    found = run("audit", "--lock", lock, "--data", data)
    assert found.returncode == 1, found.stderr
    ids = [line.rpartition(": ")[2] for line in found.stdout.splitlines() if line.startswith("jinja2 ")]
    assert ids == ["BY-VERSION", "FIXED-LATER", "UP-TO"]


def test_audit_that_could_not_look_says_so_and_fails(tmp_path: Path) -> None:
    """A name that no registry has stands for a server that is not reached: nothing is known either way."""
    file = tmp_path / "lock.txt"
    file.write_text(f"throughline-no-such-package==1.0 \\\n    --hash=sha256:{'0' * 64}\n")
    found = run("audit", "--lock", file)
    assert found.returncode == 3, found.stdout + found.stderr
    assert "NOT AUDITED: 1 of 1" in found.stdout
    assert "No known vulnerability" not in found.stdout


def test_lock_without_a_hash_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "lock.txt"
    file.write_text("jinja2==3.1.6\n")
    found = run("licences", "--lock", file)
    assert found.returncode != 0
    assert "is no locked version with hashes" in found.stderr
