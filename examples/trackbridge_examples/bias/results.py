"""The runs of one study, found by what they were: method, seed, fold and trial; and what the protocol selects of them."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from trackbridge_examples.bias.methods import METHODS
from trackbridge_examples.bias.protocol import LONGER, SEARCH_SEED, selected
from trackbridge_examples.readback import RunFacts

TAG = "bias"
REMEDY = "give each study its own --project"
# What the runs of one condition have in common.
COMMON = ("p", "explicit", "shuffle_labels", "train_size", "val_size", "test_size", "cell", "width", "batch_size")


class Place(NamedTuple):
    """Where a run stands in a study."""

    condition: str
    method: str
    seed: int
    fold: int
    trial: int
    epochs: int

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "Place":
        return cls(*(settings[name] for name in cls._fields))


class Pair(NamedTuple):
    """Runs of the same seed and fold have the same data, so they are compared with each other."""

    seed: int
    fold: int


def differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """The names whose values differ, of two mappings with the same names."""
    return ", ".join(name for name in one if one[name] != other[name])


class Results:
    """The finished runs of a study; of runs that were repeated one counts, since they have the same results.

    Raises:
        ValueError: runs of one condition differ in more than their place, or those of one trial in their hyperparameters, so that
            they do not compare.
    """

    def __init__(self, runs: Iterable[RunFacts]) -> None:
        self.runs: dict[Place, RunFacts] = {}
        self.common: dict[str, dict[str, Any]] = {}
        self.hyper: dict[tuple[str, str, int], dict[str, Any]] = {}
        for run in runs:
            if run.finished and TAG in run.tags:
                self.agree(run.config)
                self.runs[Place.of(run.config)] = run
        for condition in self.common:
            lengths = {place.epochs for place in self.runs if place.condition == condition}
            if lengths - {self.epochs(condition), LONGER * self.epochs(condition)}:
                raise ValueError(f"runs of condition {condition} have {sorted(lengths)} epochs: {REMEDY}")

    def agree(self, settings: Mapping[str, Any]) -> None:
        """Whether such a run belongs to this study; the first one decides."""
        condition, method, trial = settings["condition"], settings["method"], settings["trial"]
        mine = {name: settings.get(name) for name in COMMON}
        other = differing(self.common.setdefault(condition, mine), mine)
        if other:
            raise ValueError(f"runs of condition {condition} differ in {other}: {REMEDY}")
        hyper = {name: settings.get(name) for name in ("lr", "weight_decay", *METHODS[method].hyper)}
        other = differing(self.hyper.setdefault((condition, method, trial), hyper), hyper)
        if other:
            raise ValueError(f"runs of {method}'s trial {trial} differ in {other}: {REMEDY}")

    def epochs(self, condition: str) -> int:
        """Of a run that is not one of the longer ones."""
        return min((place.epochs for place in self.runs if place.condition == condition), default=0)

    def search(self, condition: str, method: str) -> dict[int, RunFacts]:
        """The runs among which is selected, by trial."""
        return {
            place.trial: run
            for place, run in self.runs.items()
            if (place.condition, place.method, place.seed, place.epochs) == (condition, method, SEARCH_SEED, self.epochs(condition))
        }

    def selected(self, condition: str, method: str, rule: str) -> int:
        """The trial that ``rule``, one of ``protocol.SELECTED_BY``, selects; the defaults, trial 0, where none was tried."""
        tried = self.search(condition, method)
        return selected({trial: run.number(rule) for trial, run in tried.items()}) if tried else 0

    def finals(self, condition: str, method: str, trial: int, times: int = 1) -> dict[Pair, RunFacts]:
        """The runs that are reported, trained ``times`` as long as usual."""
        epochs = times * self.epochs(condition)
        return {
            Pair(place.seed, place.fold): run
            for place, run in sorted(self.runs.items())
            if place.seed != SEARCH_SEED
            and (place.condition, place.method, place.trial, place.epochs) == (condition, method, trial, epochs)
        }
