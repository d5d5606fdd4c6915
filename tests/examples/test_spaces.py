"""The search spaces: the same number of trials for each method, in the space, the defaults first."""

import pytest
from trackbridge_examples.bias.methods import METHODS
from trackbridge_examples.bias.options import parse, settings_of
from trackbridge_examples.bias.spaces import CELEBA, OWN, SHARED, TRIALS, hyperparameters, space, trials


@pytest.mark.parametrize("method", METHODS)
def test_a_method_has_as_many_different_trials_as_every_other(method: str) -> None:
    tried = trials(method)
    assert len(tried) == TRIALS == len({tuple(trial.items()) for trial in tried})
    assert tried == trials(method)
    for trial in tried:
        assert trial.keys() == space(method).keys() == {"lr", "weight_decay", *METHODS[method].hyper}
        assert all(value in space(method)[name] for name, value in trial.items())


@pytest.mark.parametrize("method", METHODS)
def test_the_first_trial_is_the_default(method: str) -> None:
    assert trials(method)[0] == {"lr": 4e-3, "weight_decay": 1e-5, **METHODS[method].hyper}
    args = parse(["--method", method], None)
    assert settings_of(args, method) == trials(method)[0]
    assert settings_of(parse(["--method", method, "--trial", "5"], None), method) == trials(method)[5]


def test_every_method_has_settings_for_celeba() -> None:
    for method, entry in METHODS.items():
        assert hyperparameters("celeba", method, 0).keys() == {"lr", "weight_decay", *entry.hyper}
    assert CELEBA.keys() == OWN.keys()
    assert len(SHARED["lr"]) * len(SHARED["weight_decay"]) == TRIALS


@pytest.mark.parametrize("method", [method for method in METHODS if "-" in method])
def test_a_variant_tries_what_its_method_tries(method):
    original = method.partition("-")[0]
    if space(method) == space(original):
        assert sorted(map(str, trials(method))) == sorted(map(str, trials(original)))
