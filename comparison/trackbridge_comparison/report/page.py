"""The one script and the one style of the page, and the policy that allows these two and nothing else."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import re
from functools import cache
from pathlib import Path

TEMPLATES = Path(__file__).parent / "templates"


def style() -> str:
    return (TEMPLATES / "report.css").read_text("utf-8")


@cache
def script() -> str:
    """DataTables as the package itables bundles it, and the page's own script, which is given its class.

    Raises:
        RuntimeError: itables is not installed, or has another form.
    """
    found = importlib.util.find_spec("itables")
    if found is None or not found.submodule_search_locations:
        raise RuntimeError("the page needs the package itables; install trackbridge[compare]")
    bundle = Path(found.submodule_search_locations[0], "html", "dt_bundle.js").read_text("utf-8")
    exports = re.search(r"export\s*\{([^}]*)\};?", bundle)
    name = exports and re.search(r"([\w$]+) as default\b", exports[1])
    if not exports or not name:
        raise RuntimeError("itables' dt_bundle.js has no default export; install the version that constraints.txt names")
    own = (TEMPLATES / "report.js").read_text("utf-8")
    text = f"{bundle[: exports.start()]}{bundle[exports.end() :]}\n;((DataTable) => {{\n{own}}})({name[1]});\n"
    return re.sub(r"<(?=/script|!--)", r"\\x3c", text)


def policy() -> str:
    return f"default-src 'none'; script-src {_hash(script())}; style-src {_hash(style())}; base-uri 'none'; form-action 'none'; frame-src 'none'"


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
