"""What cannot be measured: one file per tool, with the evidence of every entry.

A file has the dates ``found`` and ``expires`` of its claims and a table per topic with ``value``, ``source`` and ``quote``; a claim may have dates of
its own. A source is an address on the web, ``wheel:DISTRIBUTION==VERSION/FILE`` for a file of an installed distribution, or ``repository:FILE``.
A quote is the source's own words, in its own language; only white space may differ. What has no evidence has no claim.
"""

from __future__ import annotations

import tomllib
from datetime import date
from pathlib import Path

import msgspec

from trackbridge_comparison.schema import Claim

FOLDER = Path(__file__).parent

TOPICS: dict[str, str] = {
    "client_licence": "licence of the client",
    "server_licence": "licence of the server",
    "server": "is a server needed",
    "hosting": "where data can live",
    "client_languages": "languages of clients",
    "custom_visualisations": "custom visualisations",
    "ownership": "owner",
    "last_release": "last release",
    "known_cves": "known vulnerabilities without a fix",
    "durability": "documented flush",
    "limits": "documented limit",
    "end_of_service": "end of service",
}


def load(folder: Path = FOLDER) -> list[Claim]:
    """All claims, by tool and in the order of :data:`TOPICS`.

    Raises:
        ValueError: a file is no claims file; the message names it.
    """
    return [claim for path in sorted(folder.glob("*.toml")) for claim in _read(path)]


def expired(claim: Claim, today: date) -> bool:
    """Whether the claim has to be looked up again."""
    return today >= date.fromisoformat(claim.expires)


def _read(path: Path) -> list[Claim]:
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
        dates = {name: tables.pop(name) for name in ("found", "expires")}
        if unknown := tables.keys() - TOPICS.keys():
            raise ValueError(f"unknown topics {', '.join(sorted(unknown))}; those that exist are in claims/__init__.py")
        return [_claim(f"{path.stem}/{topic}", {**dates, **tables[topic]}) for topic in TOPICS if topic in tables]
    except KeyError as error:
        raise ValueError(f"{path.name}: the date {error} is missing") from error
    except (ValueError, msgspec.ValidationError) as error:
        raise ValueError(f"{path.name}: {error}") from error


def _claim(id: str, fields: dict[str, object]) -> Claim:
    texts = {name: value.isoformat() if isinstance(value, date) else value for name, value in fields.items()}
    if unknown := texts.keys() - set(Claim.__struct_fields__):
        raise ValueError(f"{id}: unknown fields {', '.join(sorted(unknown))}")
    claim = msgspec.convert({"id": id, **texts}, Claim)
    if empty := [name for name in Claim.__struct_fields__ if not getattr(claim, name)]:
        raise ValueError(f"{id}: {', '.join(empty)} is empty; a claim without evidence is left out")
    if not date.fromisoformat(claim.found) < date.fromisoformat(claim.expires):
        raise ValueError(f"{id}: it expires before it was found")
    return claim
