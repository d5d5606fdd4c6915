"""Claims have evidence, and the evidence says it; one that is old shows as such."""

from __future__ import annotations

import re
from datetime import date
from importlib import metadata
from pathlib import Path

import pytest
from trackbridge_comparison.claims import TOPICS, expired, load
from trackbridge_comparison.lecture import slide
from trackbridge_comparison.schema import Claim

from trackbridge import environments

ROOT = Path(__file__).parents[2]
CLAIMS = load()
GOOD = """found = 2026-11-26
expires = 2027-05-26

[ownership]
value = "us"
source = "https://host.example/page"
quote = "It is ours."
"""


def test_every_tool_has_claims_and_ids_are_unique() -> None:
    backends = {claim.id.split("/")[0] for claim in CLAIMS}
    assert backends == {*slide(), "jsonl"}
    assert len({claim.id for claim in CLAIMS}) == len(CLAIMS)
    assert {claim.id.split("/")[1] for claim in CLAIMS} <= TOPICS.keys()


def test_every_source_is_an_address_or_a_file_that_anybody_can_open() -> None:
    for claim in CLAIMS:
        assert re.fullmatch(r"https://\S+|wheel:[\w.-]+==[\w.]+/\S+|repository:\S+", claim.source), claim.id
        assert "; " not in claim.value, f"{claim.id}: the table joins values by semicolons"


def folders() -> list[Path]:
    """Where distributions are installed here: this interpreter's own, and the trackers' environments."""
    own = {Path(str(found.locate_file(""))) for found in metadata.distributions()}
    return [*own, *environments.root().glob("environments/*/lib/python*/site-packages")]


def plain(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("claim", [claim for claim in CLAIMS if not claim.source.startswith("https:")], ids=lambda claim: claim.id)
def test_a_quote_is_in_its_source(claim: Claim) -> None:
    kind, _, place = claim.source.partition(":")
    if kind == "repository":
        files = [ROOT / place]
    else:
        release, _, name = place.partition("/")
        distribution, _, version = release.partition("==")
        folder = f"{distribution.replace('-', '_')}-{version}.dist-info"
        files = [there / name for there in folders() if (there / folder).is_dir()]
        if not files:
            pytest.skip(f"{release} is not installed here")
    assert plain(claim.quote) in plain(files[0].read_text("utf-8"))


def test_a_claim_expires_on_its_day() -> None:
    claim = CLAIMS[0]
    day = date.fromisoformat(claim.expires)
    assert expired(claim, day)
    assert not expired(claim, date.fromordinal(day.toordinal() - 1))


def test_a_good_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(GOOD)
    assert load(tmp_path) == [
        Claim(
            id="mine/ownership",
            value="us",
            source="https://host.example/page",
            quote="It is ours.",
            found="2026-11-26",
            expires="2027-05-26",
        )
    ]
    (tmp_path / "mine.toml").write_text(GOOD + "expires = 2026-12-31\n")
    assert load(tmp_path)[0].expires == "2026-12-31"


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (GOOD.replace("ownership", "owner"), "unknown topics owner"),
        (GOOD.replace("quote", "quotation"), "unknown fields quotation"),
        (GOOD.replace('quote = "It is ours."', ""), "quote"),
        (GOOD.replace("It is ours.", ""), "quote is empty"),
        (GOOD.replace("found = 2026-11-26", ""), "found"),
        (GOOD.replace("2027-05-26", "2026-11-26"), "expires before"),
        (GOOD.replace("= 2027-05-26", "= 5"), "expires"),
        (GOOD + "x", "mine.toml"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, broken: str, says: str) -> None:
    (tmp_path / "mine.toml").write_text(broken)
    with pytest.raises(ValueError, match=r"mine\.toml") as error:
        load(tmp_path)
    assert says in str(error.value)
