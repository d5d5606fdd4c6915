"""``python -m trackbridge.compare``: hands over to the comparison, which is a package of its own with requirements of its own."""

from __future__ import annotations

import sys

REMEDY = "the comparison needs what `pip install 'trackbridge[compare]'` installs"


def main(arguments: list[str]) -> int:
    """Run the comparison; the exit code.

    Args:
        arguments: the command line without the program's name.
    """
    try:
        from trackbridge_comparison import cli
    except ModuleNotFoundError as error:
        print(f"trackbridge: {REMEDY}: {error.name} is missing", file=sys.stderr)
        return 2
    return cli.main(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
