"""``python -m trackbridge``: the same command line as ``trackbridge``."""

from __future__ import annotations

import sys


def main() -> None:
    try:
        from trackbridge.cli import app
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich"):
            raise
        sys.exit("the command line needs typer and rich: pip install 'trackbridge[cli]'")
    app()


if __name__ == "__main__":
    main()
