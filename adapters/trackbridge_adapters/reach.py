"""Whether a vendor's server answers at all. The clients ask one that does not for minutes, and do not say so."""

from __future__ import annotations

import contextlib
import http.client
import ssl
import urllib.error
import urllib.request

from trackbridge.errors import Unavailable

SECONDS = 10.0


def answers(url: str) -> None:
    """Return if a server answers at `url`. What it answers is the client's business, also that its certificate is not trusted here.

    Raises:
        Unavailable: none does, within ten seconds.
    """
    try:
        with contextlib.suppress(urllib.error.HTTPError, http.client.HTTPException), urllib.request.urlopen(url, timeout=SECONDS):
            pass
    except OSError as error:
        reason = getattr(error, "reason", error)
        if not isinstance(reason, ssl.SSLError):
            raise Unavailable(f"{url} does not answer: {reason}") from error
