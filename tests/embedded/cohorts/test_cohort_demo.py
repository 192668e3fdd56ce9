"""The demos of cohort programs: their scripts in Spanish, and the page on which staff confirm the pairs."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import httpx
import pytest

from embedded.demo.cohorts.cohort_casts import CASTS, COLOMBIA, LAAC
from embedded.demo.cohorts.cohort_chronicle import joined
from embedded.demo.cohorts.cohort_days import cohort_ahead
from embedded.demo.run import demo_app, running_demo
from rules.program import program_calendar
from tests.support.cli import throughline
from worker.assembly import load_programs
from worker.settings import Settings

PROGRAMS = load_programs(Path("programs"))
MEXICO, BOGOTA = ZoneInfo("America/Mexico_City"), ZoneInfo("America/Bogota")


def assert_in_order(text: str, lines: Sequence[str]) -> None:
    """Find each pattern after the one before it."""
    place = 0
    for line in lines:
        found = re.compile(line).search(text, place)
        assert found, f"{line} is not after:\n{text[max(0, place - 600) : place]}"
        place = found.end()


def assert_kept(output: str, names: Sequence[str]) -> None:
    """Find the files that came with the mail, by the ends of their names, and remove them."""
    files = [Path(path) for path in re.findall(r"\S+\.pdf$", output, re.MULTILINE)]
    assert sorted({file.name.partition("-")[2] for file in files}) == sorted(names)
    assert all(file.read_bytes().startswith(b"%PDF") for file in files)
    shutil.rmtree(files[0].parent)


@pytest.mark.parametrize(
    ("now", "starts"),
    [
        (datetime(2026, 11, 29, 12, tzinfo=UTC), datetime(2027, 4, 21, 10, tzinfo=MEXICO)),
        (datetime(2027, 4, 20, 16, 0, tzinfo=UTC), datetime(2027, 4, 21, 10, tzinfo=MEXICO)),
        (datetime(2027, 4, 20, 16, 1, tzinfo=UTC), datetime(2028, 4, 21, 10, tzinfo=MEXICO)),
        (datetime(2027, 5, 1, 12, tzinfo=UTC), datetime(2028, 4, 21, 10, tzinfo=MEXICO)),
    ],
)
def test_demo_of_a_yearly_window_starts_on_its_first_morning(now: datetime, starts: datetime) -> None:
    ahead = cohort_ahead(PROGRAMS["asis-laac"], now)
    assert ahead is not None
    assert ahead.starts_at == starts
    assert ahead.cohort == f"asis-laac-{starts.year}"


@pytest.mark.parametrize(("year", "day"), [(2027, 1), (2028, 7), (2029, 5), (2032, 2)])
def test_demo_schedules_its_cohort_on_a_monday_of_february(year: int, day: int) -> None:
    ahead = cohort_ahead(PROGRAMS["mentors4u-colombia"], datetime(year, 1, 1, tzinfo=UTC))
    assert ahead is not None
    assert ahead.starts_at == datetime(year, 2, day, 10, tzinfo=BOGOTA)
    assert ahead.days.kick_off.weekday() == ahead.starts_at.weekday() == 0
    assert not ahead.is_yearly


def test_demo_of_a_program_without_cohorts_plays_none() -> None:
    assert cohort_ahead(PROGRAMS["asis-global"], datetime(2027, 1, 1, tzinfo=UTC)) is None


@pytest.mark.parametrize("cast", CASTS.values(), ids=lambda cast: cast.program)
def test_cast_fits_its_program(cast: object) -> None:
    assert isinstance(cast, type(LAAC))
    program = PROGRAMS[cast.program]
    profiles = {sample.profile(role) for sample in cast.samples for role in sample.roles}
    assert set(cast.personas) <= profiles
    assert cast.sample(cast.shown).language == "es"
    partners = {sample.wishes.get("partner") for sample in cast.samples} - {None}
    assert partners == set(cast.partners)
    assert all(program.partner(str(partner)) for partner in partners)
    assert all(sample.data(2027)["email"].endswith("@example.org") for sample in cast.samples)


def test_line_names_a_few_people_and_counts_the_others() -> None:
    assert joined(["Ana"]) == "Ana"
    assert joined(["Ana", "Ingrid"]) == "Ana e Ingrid"
    assert joined(["Ana", "Bea", "Caro", "Diego"]) == "Ana, Bea, Caro y Diego"
    assert joined(["Ana", "Bea", "Caro", "Diego", "Eva"], "parejas") == "Ana, Bea, Caro y 2 parejas más"


def test_unknown_program_is_wrong_usage_and_lists_the_known() -> None:
    done = throughline("demo", "--program", "asis-africa", "--script")
    assert (done.returncode, done.stdout) == (2, "")
    for name in ("asis-africa", "asis-global", "asis-laac", "mentors4u-colombia"):
        assert name in done.stderr


@pytest.mark.rule("COH1", "COH2", "COH3", "CPE3", "MEE1")
def test_script_plays_a_generation_from_window_to_graduation() -> None:
    done = throughline("demo", "--program", "asis-laac", "--script")
    assert (done.returncode, done.stderr) == (0, "")
    assert_in_order(
        done.stdout,
        [
            "Programa de Mentoría ASIS LAAC",
            r"Inscripción: del \w+ 21 de abril de \d+ al \w+ 6 de mayo",
            "la inscripción está abierta",
            "Diego Alarcón: se inscribe para recibir mentoría",
            "revisar las parejas propuestas",
            "La propuesta n.º 1",
            r"\d+  Ana Lucía Restrepo con Beatriz Salgado: en común: Gestión de crisis.*países distintos",
            "Diego Alarcón .*sin pareja: Todos los cupos posibles están ocupados",
            "Kerry-Ann Baptiste .*sin pareja: Nadie más habla el mismo idioma",
            "El equipo fija la pareja Ana Lucía Restrepo con Beatriz Salgado",
            "El equipo intercambia y forma Martín Cabrera con Joaquín Barrios",
            "La propuesta n.º 2. Parejas que cambiaron al volver a calcular: 0",
            r"Ana Lucía Restrepo con Beatriz Salgado \(fijada\)",
            "El equipo confirma las parejas",
            "correo .*«Su mentoría será con Beatriz Salgado»",
            "Así dice el correo a Ana Lucía Restrepo:",
            r"\| Hola, Ana:",
            r"Rodrigo Méndez: «La inscripción abre el 21 de abril de \d+»",
            "comienzan las mentorías",
            "Paola Núñez: cuenta que en la primera llamada no encajaron",
            "Paola Núñez con Silvia Palma: termina la mentoría: no encajaron",
            "El equipo busca pareja para quienes están sin mentoría",
            "Paola Núñez con Hernán Quiroga",
            "estas mentorías comienzan hoy mismo",
            "El equipo programa un encuentro",
            "dicen que van al encuentro",
            "eligen los dominios de su certificación",
            "Su invitación a la graduación",
            "completan la mentoría",
            "9 créditos de CPP listos para reportar; cuentan 9",
            "Informe de cierre de asis-laac-",
            r"mentorías completadas +6",
            r"terminaron porque no encajaron +1",
            r"mentorías que dan créditos CPE +3",
            "Sin pareja: Kerry-Ann Baptiste",
            "Qué más puede ver:",
        ],
    )
    assert "«We did not find a match for you this time»" in done.stdout
    assert "rechazado" not in done.stdout
    assert_kept(done.stdout, ["certificate.pdf", "letter-CPP.pdf", "letter-PCI.pdf", "letter-PSP.pdf"])


@pytest.mark.rule("COH1", "COH2", "COH3", "COH4", "CPE3")
def test_script_plays_a_cohort_with_curriculum_and_partners() -> None:
    done = throughline("demo", "--program", "mentors4u-colombia", "--script")
    assert (done.returncode, done.stderr) == (0, "")
    assert_in_order(
        done.stdout,
        [
            "Mentors4u Colombia",
            "Organizaciones aliadas: Universidad Altavista y Fundación Horizonte",
            "Kevin Andrés Palacios +mentee +Bogotá, es, Fundación Horizonte",
            "la inscripción está abierta",
            "La propuesta n.º 1",
            r"\d+  Daniela Mosquera con Juliana Arango: en común: Ciencia de datos",
            "El equipo fija la pareja Mateo Villegas con Andrés Felipe Mejía",
            "El equipo descarta la pareja Sofía Castaño con Juliana Arango: son primas",
            "La propuesta n.º 2",
            "El equipo confirma las parejas",
            "Así dice el correo a Sofía Castaño:",
            "Laura Giraldo: «La inscripción está cerrada en este momento»",
            "comienzan las mentorías",
            "paso 1 de 12: Empezar con buen pie",
            "marcan un paso como hecho",
            "Kevin Andrés Palacios con Marcela Ospina: .*pasos del currículo atrasados",
            "paso 12 de 12: Lo que se llevan",
            "Su invitación a la graduación",
            "completan la mentoría",
            "Informe de cierre de mentors4u-colombia-",
            r"certificados de participación +8",
            "Pasos del currículo hechos, por organización:",
            "Universidad Altavista +20 de 20",
            "Fundación Horizonte +10 de 20",
        ],
    )
    assert "rechazado" not in done.stdout
    assert_kept(done.stdout, ["certificate.pdf"])


@pytest.mark.rule("COH1", "COH2", "COH3")
async def test_page_has_the_cohort_and_no_requests() -> None:
    settings = Settings()
    async with running_demo(settings, "http://127.0.0.1:8080", program=COLOMBIA.program) as demo:
        app = demo_app(demo, settings)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
            page = (await client.get("/clock")).text
            assert "Registration lasts until" in page
            assert "Ask a mentor" not in page
            assert "Confirm the pairs" not in page
            assert f"throughline cohort show {demo.cohort and demo.cohort.cohort}" in page
            assert '<option value="America/Bogota" selected>' in page
            guest = {"name": "Zoë Rincón", "email": "zoe@example.org", "role": "mentor"}
            await client.post("/people", data={**guest, "language": "es", "zone": "America/Bogota"})
            assert demo.cohort is not None
            await demo.move_to(demo.cohort.days.review_at(program_calendar(demo.program)))
            page = (await client.get("/clock")).text
            assert "Kevin Andrés Palacios" in page
            assert "Confirm the pairs" in page
            answer = await client.post("/demo/staff", data={"target": demo.cohort.workflow, "act": "confirm"})
            assert answer.status_code == 303
            page = (await client.get("/clock")).text
            assert f"Confirm: {demo.cohort.workflow} is confirmed" in page
            assert "Confirm the pairs" not in page
            assert "paired, with a fit of" in page
            assert [mail.name for mail in demo.mailbox if "no encontramos" in mail.subject] == ["Zoë Rincón"]
            await demo.move_to(demo.cohort.days.kick_off_at(program_calendar(demo.program)))
            cases = [case for person in (await demo.overview()).people for case in person.cases]
            assert {case.state for case in cases if case.kind == "engagement"} == {"active"}
