"""The study in its smallest setting, and which of its runs are missing."""

from collections import Counter

import pytest
from trackbridge_examples.bias import options, study, train
from trackbridge_examples.bias.methods import METHODS
from trackbridge_examples.bias.protocol import SEARCH_SEED, SEEDS
from trackbridge_examples.bias.results import Place, Results
from trackbridge_examples.readback import RunFacts, read_back

import trackbridge

ONE_OF_EACH = ["--smoke", "--trials", "1", "--jobs", "1"]
PROJECT = "bias-study-smoke"


def places(tasks: list[list[str]]) -> list[Place]:
    parsed = [options.parse(argv, None) for argv in tasks]
    return [Place.of(train.run_settings(args, args.method[0])) for args in parsed]


def facts_of(argv: list[str], status: str = "finished", **summary: float) -> RunFacts:
    """A run of a command line that was never trained."""
    args = options.parse(argv, None)
    return RunFacts("id", "name", args.project, status, frozenset({"bias"}), train.run_settings(args, args.method[0]), summary)


def test_every_method_has_the_same_number_of_trials_and_every_condition_too() -> None:
    tasks = places(list(study.search(study.parse(["--full"]))))
    assert len(set(tasks)) == len(tasks) == 8 * 2 * len(METHODS)
    assert set(Counter(place.method for place in tasks).values()) == {16}
    assert {(place.seed, place.fold) for place in tasks} == {(SEARCH_SEED, 0)}


def test_what_is_selected_is_run_with_every_seed_and_fold_and_three_methods_longer() -> None:
    """By validation trial 1 of gdro is selected, by the oracle trial 0; of the others only trial 0 was tried."""
    args = study.parse(["--full", "--condition", "one", "--method", "stdm", "gdro", "sd"])
    tried = [
        facts_of(study.command_line(args, "one", "gdro", SEARCH_SEED, 0, trial), **{"validation/accuracy": v, "oracle/accuracy": o})
        for trial, (v, o) in enumerate([(50.0, 40.0), (60.0, 30.0)])
    ]
    tasks = places(list(study.finals(args, Results(tried))))
    counts = Counter((place.method, place.trial, place.epochs) for place in tasks)
    assert counts == {
        ("stdm", 0, 6): 7, ("gdro", 0, 6): 7, ("gdro", 1, 6): 7, ("sd", 0, 6): 7,
        ("stdm", 0, 24): 3, ("gdro", 0, 24): 3, ("gdro", 1, 24): 3,
    }  # fmt: skip
    assert {place.seed for place in tasks} == set(SEEDS)
    assert {(place.seed, place.fold) for place in tasks} == {(1001, 0), (1002, 0), (1003, 0), (1001, 1), (1001, 2), (1001, 3), (1001, 4)}
    assert {place.fold for place in tasks if place.epochs == 24} == {0}


def test_only_finished_runs_count_and_other_settings_are_refused() -> None:
    args = study.parse(["--quick"])
    tasks = list(study.search(args))
    done, failed = facts_of(tasks[0]), facts_of(tasks[1], "failed")
    assert study.missing(tasks, Results([done, failed])) == tasks[1:]
    with pytest.raises(ValueError, match=r"differ in train_size: give each study its own --project"):
        study.missing([[*tasks[1], "--train-size", "9"]], Results([done]))
    with pytest.raises(ValueError, match=r"have \[4, 5\] epochs"):
        Results([done, facts_of([*tasks[1], "--epochs", "5"])])


def test_a_run_of_other_hyperparameters_is_not_taken_for_its_trial() -> None:
    """One that was made by hand, in the study's project and at the place of a run of the study."""
    args = study.parse(["--quick"])
    task = study.command_line(args, "one", "gdro", SEARCH_SEED, 0, 1)
    for other in (["--lr", "0.5"], ["--set", "eta=0.5"]):
        with pytest.raises(ValueError, match=r"runs of gdro's trial 1 differ in (lr|eta): give each study its own --project"):
            study.missing([task], Results([facts_of([*task, *other])]))


def test_a_run_that_fails_keeps_no_other_from_being_made(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def fail_at_gdro(argv: list[str]) -> None:
        if "gdro" in argv:
            raise FloatingPointError("no number")
        made.append(argv)

    monkeypatch.setattr(train, "main", fail_at_gdro)
    with pytest.raises(SystemExit) as end:
        study.main(["--smoke", "--jobs", "1"])
    assert len(made) == 2, "both trials of stdm, and nothing that would be selected of them"
    told = str(end.value)
    assert told.startswith("2 of 4 runs failed; the same command tries them again:\n  FloatingPointError: no number\n")
    assert "python -m trackbridge_examples.bias --smoke --condition one --method gdro " in told


def test_the_cost_is_that_of_the_runs_that_finished() -> None:
    """Two runs of four epochs took 8 and 16 seconds, so 3 a epoch; what no run tells is not guessed."""
    args = study.parse(["--quick"])
    commands = [study.command_line(args, "one", method, 1, 0, 0) for method in ("stdm", "stdm", "gdro")]
    first, second = facts_of(commands[0], **{"time/cpu_s": 8.0}), facts_of([*commands[1], "--seed", "2"], **{"time/cpu_s": 16.0})
    longer = study.command_line(args, "one", "stdm", 1, 0, 0, times=4)
    assert study.cost([commands[0], longer], Results([first, second])) == (3 * (4 + 16), [])
    assert study.cost(commands[2:], Results([first])) == (0, ["gdro"])


def test_a_study_that_was_stopped_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    study.main([*ONE_OF_EACH, "--method", "stdm"])
    first = [run.id for run in read_back(None, PROJECT)]
    assert len(first) == 3, "a trial, the selected one with a seed, the same for longer"
    study.main([*ONE_OF_EACH, "--dry-run"])
    assert "search: 1 runs are missing" in capsys.readouterr().out
    study.main(ONE_OF_EACH)
    runs = list(read_back(None, PROJECT))
    assert len(runs) == 6
    assert {run.id for run in runs} > set(first)
    study.main(ONE_OF_EACH)
    assert len(list(trackbridge.runs())) == 6
    assert not [artifact for run in runs for artifact in trackbridge.read(run.id).artifacts], "a study keeps no checkpoints"
