"""A tracker's UI, started by the command that ``trackbridge open`` prints, and Debian's Chromium looking at it. Nothing of the internet is loaded."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.adapters.servers import answers, free_port
from tests.shared import command

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), "")
SCREENSHOTS = os.environ.get("UI_SCREENSHOTS", "")
"""A folder; empty: no pictures are taken."""

SIZE = {"width": 1280, "height": 800}
browser = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium here; on Debian and Ubuntu: apt-get install chromium"),
]


def train(target: str, folder: Path) -> str:
    """Log a run to `target` as a user's script does; its id."""
    given = {"TRACKBRIDGE_BACKEND": target, "TRACKBRIDGE_CAPTURE": "basic,system", "TRACKBRIDGE_DIR": str(folder / "journals")}
    script = Path(__file__).with_name("train.py")
    done = subprocess.run(
        [sys.executable, str(script)], env=os.environ | given, cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "delivered" in done.stderr, done.stderr
    return done.stdout.strip()


@contextlib.contextmanager
def opened(target: str, folder: Path, ready: str = "/") -> Iterator[str]:
    """The address of the UI of `target`, once it answers at the path `ready`."""
    port = free_port()
    printed = command("open", target, "--port", str(port), "--print")
    assert printed.returncode == 0, printed.stderr
    line = shlex.split(printed.stdout)
    log = folder / "ui.log"
    variables = os.environ | {"BROWSER": "/bin/true"}  # some open one by themselves
    with log.open("wb") as out:
        server = subprocess.Popen(line, env=variables, cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
    try:
        url = f"http://127.0.0.1:{port}"
        answers(url + ready, server, log)
        yield url
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()


class Visitor:
    """Someone who looks at a page. Errors of the page, and answers of its server that are errors, are in :attr:`errors`."""

    def __init__(self, page: Any, harmless: str) -> None:
        self.page, self.errors, self._harmless = page, list[str](), harmless
        page.on("pageerror", lambda error: self._meets(str(error)))
        page.on("response", self._hears)

    def _hears(self, answer: Any) -> None:
        if answer.status >= 500:
            self._meets(f"{answer.status} {answer.url}")

    def _meets(self, error: str) -> None:
        if not re.search(self._harmless, error):
            self.errors.append(error)

    def sees(self, *texts: str) -> None:
        for text in texts:
            self.page.get_by_text(text).locator("visible=true").first.wait_for(timeout=60_000)

    def clicks(self, text: str, role: str = "") -> None:
        found = self.page.get_by_role(role, name=text) if role else self.page.get_by_text(text, exact=True)
        found.locator("visible=true").first.click(timeout=60_000)

    def takes(self, name: str) -> None:
        """A picture of the page as it is, once it is at rest, in few colours."""
        if SCREENSHOTS:
            self.page.wait_for_timeout(2000)  # charts are drawn after their titles
            picture = Image.open(io.BytesIO(self.page.screenshot()))
            picture.convert("RGB").quantize(128).save(Path(SCREENSHOTS, f"{name}.png"), optimize=True)


@contextlib.contextmanager
def visitor(harmless: str = "$^", instead: Mapping[str, str] | None = None) -> Iterator[Visitor]:
    """A visitor, who leaves without having met an error.

    Args:
        harmless: which errors say nothing of the run.
        instead: scripts for addresses in the internet that hold these words.
    """
    from playwright.sync_api import Route, sync_playwright

    def elsewhere(route: Route) -> None:
        found = next((script for word, script in (instead or {}).items() if word in route.request.url), None)
        if found is None:
            route.abort()
        else:
            route.fulfill(body=found, content_type="text/javascript")

    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"]) as chromium:
        page = chromium.new_page(viewport=SIZE)  # type: ignore[arg-type]
        page.route(re.compile(r"^https?://(?!127\.0\.0\.1)"), elsewhere)
        found = Visitor(page, harmless)
        yield found
        assert found.errors == []
