"""An example that trains nothing and takes no time: what sweeps are tested with."""

import argparse
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import trackbridge


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tiny")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--behave", choices=("well", "raise", "die", "leave", "wait", "raise-once"), default="well")
    parser.add_argument("--group")
    return parser.parse_args(argv)


def main() -> None:
    args = parse(None)
    if args.behave == "leave":
        return
    with trackbridge.init(project="tiny", group=args.group, config=vars(args)):
        trackbridge.log({"begun": 1})
        if args.behave == "raise":
            raise RuntimeError("nothing works")
        if args.behave == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if args.behave == "raise-once" and not Path("raised").exists():
            Path("raised").touch()
            raise RuntimeError("it works the next time")
        while args.behave == "wait" and not Path("go").exists():
            time.sleep(0.02)
        trackbridge.log({"test/accuracy": 10.0 * args.seed}, step=1)


if __name__ == "__main__":
    main()
