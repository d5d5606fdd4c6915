"""Who may import whom, and what must never appear in the code. DESIGN in one table; a new edge is a decision, made here."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = ROOT / "trackbridge"

# module (or package) of trackbridge -> the modules of trackbridge that it may import at any time
ALLOWED = {
    "errors": set(),
    "deviations": set(),
    "host": set(),
    "records": set(),
    "values": {"errors"},
    "redact": set(),
    "capture": {"errors", "host"},
    "settings": {"errors"},
    "signals": set(),
    "identity": {"errors", "host"},
    "files": {"errors", "records"},
    "names": set(),
    "times": set(),
    "projection": {"deviations", "records"},
    "normal": {"projection", "records"},
    "summary": {"records"},
    "report": {"deviations"},
    "journal": {"errors", "records", "host", "journal", "reading", "signals"},
    "sidecar": {"deviations", "journal", "normal", "projection", "records"},
    "adapters": {"deviations", "errors", "names", "projection", "records"},
    "stream": {"records"},
    "environments": {"errors", "registry"},
    "registry": {"adapters", "environments", "errors", "records", "remote"},
    "remote": {"adapters", "errors", "records", "registry", "stream"},
    "run": {"deviations", "errors", "files", "host", "identity", "journal", "records", "redact", "report", "settings", "signals", "summary", "values"},
    "forward": {
        "adapters", "deviations", "errors", "files", "forward", "host", "journal", "normal", "records", "registry", "report", "run", "sidecar",
        "summary",
    },
    "transfer": {"adapters", "deviations", "errors", "forward", "journal", "normal", "projection", "records", "registry", "sidecar", "transfer"},
    "session": {
        "adapters", "capture", "errors", "forward", "host", "identity", "normal", "records", "registry", "remote", "report", "run", "settings", "signals",
    },
    "reading": {
        "adapters", "deviations", "errors", "journal", "normal", "records", "registry", "settings", "sidecar", "summary",
    },
    "__init__": {"errors", "reading", "report", "run", "session", "values"},
    "__main__": {"cli"},
    "compare": set(),
}  # fmt: skip
EVERYTHING = {"testing", "cli"}  # may use all; nothing but the entry points may use them
ADAPTERS_MAY = {"adapters", "records", "values", "deviations", "names", "errors", "projection", "normal", "files", "times"}


def imports(path: Path) -> set[str]:
    """The modules directly below trackbridge that a file imports, lazily or not."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name.split(".")[1] for name in node.names if name.name.startswith("trackbridge.")}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            parts = node.module.split(".")
            if parts[0] == "trackbridge":
                found |= {parts[1]} if len(parts) > 1 else {name.name for name in node.names}
    return found


def python_files(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


@pytest.mark.parametrize("path", sorted(LIBRARY.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_library_imports_only_what_the_design_allows(path: Path) -> None:
    module = path.relative_to(LIBRARY).parts[0].removesuffix(".py")
    if module in EVERYTHING:
        return
    assert module in ALLOWED, f"{module} is new: say in ALLOWED what it may import"
    extra = imports(path) - ALLOWED[module] - {module}
    assert not extra, f"{path.name} imports {sorted(extra)}"


@pytest.mark.parametrize("path", python_files("adapters"), ids=lambda path: str(path.relative_to(ROOT)))
def test_adapters_import_only_the_contract(path: Path) -> None:
    assert imports(path) <= ADAPTERS_MAY


def test_nothing_imports_the_command_line() -> None:
    for path in python_files("trackbridge", "adapters", "comparison", "examples"):
        if path.parent.name != "cli" and path.name != "__main__.py":
            assert "cli" not in imports(path), path


@pytest.mark.parametrize(
    "path", python_files("trackbridge", "adapters", "comparison", "examples"), ids=lambda path: str(path.relative_to(ROOT))
)
def test_no_code_is_loaded_from_data(path: Path) -> None:
    """The history of trackers' vulnerabilities is pickle, eval, yaml.load, extractall and shells: none of them is here."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = {name.name.split(".")[0] for name in node.names} | {getattr(node, "module", None) or ""}
            assert not names & {"pickle", "cPickle", "dill", "marshal", "shelve"}, f"{path}:{node.lineno}"
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            owner = getattr(getattr(node.func, "value", None), "id", "")
            assert name != "extractall", f"{path}:{node.lineno}"
            assert not (name in ("eval", "exec", "__import__") and not owner), f"{path}:{node.lineno}"
            assert not (owner == "yaml" and name == "load"), f"{path}:{node.lineno}"
            assert not any(word.arg == "shell" and getattr(word.value, "value", False) for word in node.keywords), f"{path}:{node.lineno}"


def test_import_loads_msgspec_and_the_standard_library_only() -> None:
    code = (
        "import sys, trackbridge;"
        "print(' '.join(sorted({m.partition('.')[0] for m in sys.modules} - set(sys.stdlib_module_names) - {'__main__'})))"
    )
    result = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    loaded = {name for name in result.stdout.split() if not name.startswith(("_", "__editable__", "sitecustomize"))}
    assert loaded <= {"trackbridge", "msgspec", "typing_extensions"}, loaded


def test_the_command_line_needs_no_more_than_its_extra() -> None:
    code = "import sys; sys.modules['tenacity'] = None; sys.modules['polars'] = None; import trackbridge.cli"
    subprocess.run([sys.executable, "-I", "-c", code], check=True)


def test_nothing_speaks_of_the_workplace() -> None:
    """No path of a machine and no registry's host in anything that is committed."""
    listing = subprocess.run(["git", "-C", str(ROOT), "ls-files"], capture_output=True, text=True, check=False)
    words = ["pypi" + ".org", "python" + "hosted", "npmjs" + ".", "deb.debian" + ".org", "/wo" + "rk/", "/opt/" + "wheels", "/ro" + "ot/"]
    for name in listing.stdout.splitlines():
        path = ROOT / name
        if path.suffix in (".py", ".md", ".toml", ".txt", ".json", ".csv", ".html", ".tbj", "") and path.is_file():
            text = path.read_bytes()
            for word in words:
                assert word.encode() not in text, f"{name} holds {word}"
