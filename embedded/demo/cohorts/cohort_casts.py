"""Who takes part in the demos of cohort programs: a generation of Latin America, and a cohort of two partners."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import time
from typing import Any, Final

from embedded.demo.cast import GLOBAL, Cast, Persona, Sample

_HOUR: Final = time(20, 0)
"""When each of these people reads their mail, in the program's zone. One hour for all, as each stop takes time."""


# long: a person of a table, column by column
def _mentor(
    member: str,
    name: str,
    country: str,
    zone: str,
    born: int,
    years: int,
    areas: list[str],
    interests: list[str],
    certification: str = "",
    **wishes: Any,
) -> Sample:
    more = {"nationality": country, "birth_year": born, "years_management": years}
    wishes = {"areas": areas, "interests": interests, "mentees_at_a_time": 1, **wishes}
    return Sample(member, name, country, zone, "es", ("mentor",), "good", more, certification, wishes)


# long: a person of a table, column by column
def _mentee(
    member: str,
    name: str,
    country: str,
    zone: str,
    born: int,
    years: int,
    areas: list[str],
    interests: list[str],
    goals: str,
    language: str = "es",
    **wishes: Any,
) -> Sample:
    more = {"nationality": country, "birth_year": born, "years_management": years}
    wishes = {"areas": areas, "interests": interests, "goals": goals, **wishes}
    return Sample(member, name, country, zone, language, ("mentee",), "good", more, "", wishes)


def _personas(
    samples: Iterable[Sample], zone: str, special: Mapping[str, Mapping[str, Any]]
) -> dict[str, Persona]:
    """Return a persona for each sample: all read at one hour, and some do something special."""
    parts = {}
    for sample in samples:
        profile = sample.profile(sample.roles[0])
        goals = str(sample.wishes.get("goals", ""))
        more = {"hour": _HOUR, "goals": goals, **special.get(sample.member, {})}
        parts[profile] = Persona(profile, sample.member, zone, **more)
    return parts


_LAAC_SAMPLES: Final = (
    _mentor(
        *("beatriz", "Beatriz Salgado", "MX", "America/Mexico_City", 1968, 22),
        *(["Seguridad corporativa", "Gestión de crisis"], ["Liderazgo", "Lectura"], "CPP"),
    ),
    _mentor(
        *("hernan", "Hernán Quiroga", "AR", "America/Argentina/Buenos_Aires", 1974, 15),
        *(["Seguridad física", "Tecnología de seguridad"], ["Ciclismo", "Docencia"], "PSP"),
    ),
    _mentor(
        *("carmen", "Carmen Rosa Flores", "PE", "America/Lima", 1970, 18),
        *(["Investigaciones", "Ética y cumplimiento"], ["Docencia", "Cine"], "PCI"),
    ),
    _mentor(
        *("joaquin", "Joaquín Barrios", "CL", "America/Santiago", 1981, 9),
        *(["Ciberseguridad", "Tecnología de seguridad"], ["Montañismo", "Música"]),
    ),
    _mentor(
        *("silvia", "Silvia Palma", "GT", "America/Guatemala", 1977, 12),
        *(["Continuidad del negocio", "Gestión de riesgos"], ["Liderazgo", "Voluntariado"]),
    ),
    _mentee(
        *("ana", "Ana Lucía Restrepo", "CO", "America/Bogota", 1993, 2),
        *(["Gestión de crisis", "Seguridad corporativa"], ["Lectura"]),
        "Dirigir mi primer simulacro de crisis.\nPresentar un presupuesto al comité.",
    ),
    _mentee(
        *("martin", "Martín Cabrera", "UY", "America/Montevideo", 1990, 3),
        *(["Seguridad física", "Tecnología de seguridad"], ["Ciclismo", "Montañismo"]),
        "Obtener la certificación PSP el próximo año.",
    ),
    _mentee(
        *("yesenia", "Yesenia Batista", "DO", "America/Santo_Domingo", 1995, 0),
        *(["Investigaciones"], ["Cine"], "Aprender a llevar una entrevista difícil."),
    ),
    _mentee(
        *("luis", "Luis Fernando Chávez", "EC", "America/Guayaquil", 1988, 4),
        *(["Ciberseguridad"], ["Música", "Docencia"], "Pasar de la operación a la ciberseguridad."),
    ),
    _mentee(
        *("paola", "Paola Núñez", "CR", "America/Costa_Rica", 1991, 1),
        *(["Gestión de riesgos"], ["Voluntariado"], "Hacer mi primer mapa de riesgos."),
    ),
    _mentee(
        *("diego", "Diego Alarcón", "BO", "America/La_Paz", 1996, 0),
        *(["Control de accesos"], ["Fútbol"], "Conseguir mi primer cargo de supervisión."),
    ),
    _mentee(
        *("kerry", "Kerry-Ann Baptiste", "TT", "America/Port_of_Spain", 1994, 2),
        *(["Port security"], ["Sailing"], "Lead a port security audit.", "en"),
    ),
    _mentee(
        *("rodrigo", "Rodrigo Méndez", "PA", "America/Panama", 1992, 1),
        *(["Seguridad física"], ["Lectura"], "Cambiar de sector."),
    ),
)
"""Ten countries, and ages and careers apart. There is a mentee too many, one who shares no language with a mentor, and
one who comes too late."""

LAAC: Final = Cast(
    "asis-laac",
    _LAAC_SAMPLES,
    _personas(
        _LAAC_SAMPLES,
        "America/Mexico_City",
        {
            "hernan": {"saves": {35: {"mentees_at_a_time": 2}}},
            "silvia": {"hour": time(21, 0)},
            "joaquin": {"signs_up_after": 8},
            "ana": {"signs_up_after": 2},
            "luis": {"signs_up_after": 8},
            "paola": {"signs_up_after": 12, "no_fit_at_first": True},
            "diego": {"signs_up_after": 15},
            "rodrigo": {"signs_up_after": 18},
        },
    ),
    home="America/Mexico_City",
    shown="ana",
)
"""Diego signs up on the last evening of the window, and Rodrigo three days later. Silvia reads her mail an hour after
Paola has said that the two are no fit."""

_COLOMBIA_SAMPLES: Final = (
    _mentor(
        *("marcela", "Marcela Ospina", "CO", "America/Bogota", 1984, 11),
        *(["Mercadeo", "Emprendimiento"], ["Café", "Senderismo"]),
        mentees_at_a_time=2,
    ),
    _mentor(
        *("andres", "Andrés Felipe Mejía", "CO", "America/Bogota", 1979, 14),
        *(["Ingeniería", "Energía"], ["Ajedrez", "Ciclismo"]),
    ),
    _mentor(
        *("juliana", "Juliana Arango", "CO", "Europe/Madrid", 1987, 6),
        *(["Ciencia de datos", "Finanzas"], ["Música", "Lectura"]),
    ),
    _mentee(
        *("sofia", "Sofía Castaño", "CO", "America/Bogota", 2004, 0),
        *(["Mercadeo"], ["Senderismo", "Música"], "Conseguir mi primera práctica."),
        partner="altavista",
    ),
    _mentee(
        *("mateo", "Mateo Villegas", "CO", "America/Bogota", 2003, 0),
        *(["Ingeniería", "Energía"], ["Ajedrez"], "Decidir entre la industria y una maestría."),
        partner="altavista",
    ),
    _mentee(
        *("daniela", "Daniela Mosquera", "CO", "America/Bogota", 2002, 0),
        *(["Finanzas", "Ciencia de datos"], ["Lectura"], "Pasar del aula a un equipo de datos."),
        partner="horizonte",
    ),
    _mentee(
        *("kevin", "Kevin Andrés Palacios", "CO", "America/Bogota", 2001, 1),
        *(["Emprendimiento"], ["Café"], "Formalizar el negocio de café de mi familia."),
        partner="horizonte",
    ),
    _mentee(
        *("laura", "Laura Giraldo", "CO", "America/Bogota", 2003, 0),
        *(["Mercadeo"], ["Teatro"], "Armar mi portafolio."),
        partner="altavista",
    ),
)

COLOMBIA: Final = Cast(
    "mentors4u-colombia",
    _COLOMBIA_SAMPLES,
    _personas(
        _COLOMBIA_SAMPLES,
        "America/Bogota",
        {
            "mateo": {"signs_up_after": 1},
            "daniela": {"signs_up_after": 4},
            "kevin": {"signs_up_after": 4, "forgets_steps": True},
            "laura": {"signs_up_after": 14},
        },
    ),
    home="America/Bogota",
    partners=("altavista", "horizonte"),
    shown="sofia",
)
"""Kevin leaves the steps of the curriculum undone, and Laura signs up when the window is over."""

CASTS: Final = {cast.program: cast for cast in (GLOBAL, LAAC, COLOMBIA)}
"""The programs that the demo can play."""
