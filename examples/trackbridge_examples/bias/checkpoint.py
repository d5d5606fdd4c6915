"""What a run that was killed needs to go on: the state of its training after its last whole epoch."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch


class Stateful(Protocol):
    """A module, an optimizer, a schedule."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: Any, /) -> Any: ...


@dataclass(frozen=True)
class Progress:
    """How far a run has come; one that is not begun has no id."""

    run_id: str | None = None
    epoch: int = 0
    step: int = 0


class Checkpoint:
    """A file that each save replaces as a whole, so that a kill at any moment leaves the last one; without a path nothing is saved."""

    def __init__(self, path: Path | None, settings: Mapping[str, object], parts: Mapping[str, Stateful]) -> None:
        self.path = path
        self.settings = json.dumps(settings, sort_keys=True)
        self.parts = parts

    def load(self) -> Progress:
        """Puts the parts into the state that was saved, if one was.

        Raises:
            SystemExit: the file is of a run with other settings.
        """
        if self.path is None or not self.path.exists():
            return Progress()
        saved = torch.load(self.path, weights_only=True)
        if saved["settings"] != self.settings:
            raise SystemExit(f"{self.path} is of a run with other settings: remove it, or give another folder with --checkpoints")
        for name, part in self.parts.items():
            part.load_state_dict(saved["parts"][name])
        return Progress(**saved["progress"])

    def save(self, progress: Progress) -> None:
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            scratch = self.path.with_suffix(".part")
            parts = {name: part.state_dict() for name, part in self.parts.items()}
            torch.save({"settings": self.settings, "progress": asdict(progress), "parts": parts}, scratch)
            os.replace(scratch, self.path)

    def remove(self) -> None:
        """The run has ended: there is nothing to go on with."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
