"""The losses on cases small enough for pencil and paper, and their gradients."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from trackbridge_examples.bias.groups import Groups
from trackbridge_examples.bias.methods import METHODS, PAPER, Batch, Outputs, Training, outputs_of
from trackbridge_examples.bias.methods.gdro import GroupDRO
from trackbridge_examples.bias.methods.irmv1 import IRMv1, halves_of, irm_penalty
from trackbridge_examples.bias.methods.lff import LearningFromFailure, MovingAverage, generalised_weights
from trackbridge_examples.bias.methods.lnl import LearningNotToLearn, scale_gradient
from trackbridge_examples.bias.methods.rubi import RUBi
from trackbridge_examples.bias.methods.sd import SpectralDecoupling
from trackbridge_examples.bias.methods.stdm import StandardModel
from trackbridge_examples.bias.methods.upwt import UpWeighting

FEATURES = 3


def make_groups(index: Sequence[int]) -> Groups:
    return Groups(np.array(index, dtype=np.int64), tuple(f"g{number}" for number in range(max(index) + 1)))


def make_network(classes: int = 2) -> nn.Sequential:
    """One layer that makes features of numbers, and one that makes logits of features."""
    return nn.Sequential(nn.Linear(4, FEATURES), nn.Tanh(), nn.Linear(FEATURES, classes))


def make_training(labels: Sequence[int], groups: Sequence[int], biases: Sequence[int] = (0, 1)) -> Training:
    by_bias, classes = make_groups(biases), max(labels) + 1
    return Training(torch.tensor(labels), make_groups(groups), by_bias, by_bias, classes, FEATURES, lambda: make_network(classes))


def make_batch(labels: Sequence[int], groups: Sequence[int] | None = None, seed: int = 0) -> Batch:
    """All training images, in their order; groups are also biases and environments."""
    inputs = torch.randn(len(labels), 4, generator=torch.Generator().manual_seed(seed))
    index = torch.tensor(groups if groups is not None else [0] * len(labels))
    return Batch(inputs, torch.tensor(labels), torch.arange(len(labels)), index, index, index)


def batch_of(logits: torch.Tensor, labels: Sequence[int], groups: Sequence[int] | None = None) -> tuple[nn.Sequential, Outputs, Batch]:
    """What ``passes`` wants, with such logits."""
    return make_network(), Outputs(torch.zeros(len(labels), FEATURES), logits), make_batch(labels, groups)


def cross_entropy(logits: Sequence[float], label: int) -> float:
    return math.log(sum(math.exp(logit) for logit in logits)) - logits[label]


LOGITS = [[2.0, 0.0], [1.0, -1.0], [0.5, 3.0]]
LABELS = [0, 1, 1]
LOSSES = [cross_entropy(logits, label) for logits, label in zip(LOGITS, LABELS, strict=True)]


def test_the_standard_model_s_loss_is_the_mean() -> None:
    (loss,) = StandardModel(make_training(LABELS, [0, 0, 1])).passes(*batch_of(torch.tensor(LOGITS), LABELS))
    assert loss.item() == pytest.approx(sum(LOSSES) / 3)


def test_up_weighting_counts_an_image_by_the_rarity_of_its_group() -> None:
    """Four training images in group 0 and one in group 1: weights 5/4 and 5."""
    training = make_training([0, 0, 0, 0, 1], [0, 0, 0, 0, 1])
    case = batch_of(torch.tensor(LOGITS), LABELS, [0, 0, 1])
    (loss,) = UpWeighting(training).passes(*case)
    weighted = 1.25 * LOSSES[0] + 1.25 * LOSSES[1] + 5 * LOSSES[2]
    assert loss.item() == pytest.approx(weighted / 3)
    (variant,) = UpWeighting(training, normalise=True).passes(*case)
    assert variant.item() == pytest.approx(weighted / 7.5)


def make_dro(groups: int, eta: float, normalise: bool = False) -> GroupDRO:
    return GroupDRO(make_training([0, 1], range(groups)), eta, normalise)


def test_group_dro_weighs_the_groups_mean_losses_by_hand() -> None:
    """Group losses 2 and 4: q = (e^0.2, e^0.4) / sum, and the loss is q_0 * 2 + q_1 * 4."""
    dro = make_dro(2, eta=0.1)
    loss = dro.loss(torch.tensor([1.0, 3.0, 4.0]), torch.tensor([0, 0, 1]))
    total = math.exp(0.2) + math.exp(0.4)
    q = [math.exp(0.2) / total, math.exp(0.4) / total]
    assert dro.q.tolist() == pytest.approx(q)
    assert loss.item() == pytest.approx(2 * q[0] + 4 * q[1])
    assert dro.losses.tolist() == [2, 4]
    assert dro.group_values() == pytest.approx({"gdro/q/g0": q[0], "gdro/q/g1": q[1], "gdro/loss/g0": 2, "gdro/loss/g1": 4})


def test_group_dro_remembers_its_weights_and_an_absent_group_loses_some() -> None:
    dro = make_dro(2, eta=math.log(2))
    assert dro.q.tolist() == [0.5, 0.5]
    loss = dro.loss(torch.tensor([1.0]), torch.tensor([0]))
    assert dro.q.tolist() == pytest.approx([2 / 3, 1 / 3])
    assert loss.item() == pytest.approx(2 / 3)
    assert math.isnan(dro.losses[1].item())
    assert math.isnan(dro.group_values()["gdro/loss/g1"])
    dro.loss(torch.tensor([2.0]), torch.tensor([0]))
    assert dro.q.tolist() == pytest.approx([8 / 9, 1 / 9])


def test_the_variant_divides_by_the_weight_of_the_groups_present() -> None:
    loss = make_dro(4, eta=0.0, normalise=True).loss(torch.tensor([1.0, 5.0]), torch.tensor([0, 2]))
    assert loss.item() == pytest.approx(3)


def test_group_dro_s_gradient_is_q_over_the_group_s_size() -> None:
    losses = torch.tensor([1.0, 3.0, 4.0], requires_grad=True)
    dro = make_dro(2, eta=0.5)
    dro.loss(losses, torch.tensor([0, 0, 1])).backward()
    q = dro.q.tolist()
    assert losses.grad is not None
    assert losses.grad.tolist() == pytest.approx([q[0] / 2, q[0] / 2, q[1]])


def test_rubi_masks_the_logits_and_teaches_the_branch() -> None:
    """A linear branch without bias terms: value 0 makes the mask (ln 3, 0), so logits (2, 0) become (2 * 3/4, 0 * 1/2)."""
    rubi = RUBi(make_training([0, 1], [0, 1]), hidden=0)
    with torch.no_grad():
        rubi.mask[0].weight.copy_(torch.tensor([[math.log(3), 0.0], [0.0, 0.0]]))
        rubi.mask[0].bias.zero_()
    (loss,) = rubi.passes(*batch_of(torch.tensor([[2.0, 0.0]]), [1], [0]))
    answered = cross_entropy([math.log(3), 0], 1)
    assert answered == pytest.approx(math.log(4))
    assert loss.item() == pytest.approx(cross_entropy([1.5, 0.0], 1) + answered)
    assert rubi.terms == {"branch_loss": pytest.approx(answered)}


def test_rubi_s_answer_has_a_layer_of_its_own() -> None:
    rubi = RUBi(make_training([0, 1], [0, 1]), hidden=5)
    (loss,) = rubi.passes(*batch_of(torch.tensor([[2.0, 0.0]]), [1], [0]))
    mask = rubi.mask(torch.tensor([[1.0, 0.0]]))
    masked = cross_entropy((torch.tensor([2.0, 0.0]) * torch.sigmoid(mask[0])).tolist(), 1)
    assert loss.item() == pytest.approx(masked + cross_entropy(rubi.answer(mask)[0].tolist(), 1), rel=1e-5)
    loss.backward()
    assert all(parameter.grad is not None for parameter in rubi.parameters())


def test_spectral_decoupling_pulls_the_true_logit_to_gamma() -> None:
    """True logits 2, -1 and 3."""
    case = batch_of(torch.tensor(LOGITS), LABELS)
    (loss,) = SpectralDecoupling(make_training(LABELS, [0, 0, 1]), 0.1, 1.0).passes(*case)
    assert loss.item() == pytest.approx((sum(LOSSES) + 0.05 * (1 + 4 + 4)) / 3)
    (loss,) = SpectralDecoupling(make_training(LABELS, [0, 0, 1]), (0.1, 0.2), (0.0, 3.0)).passes(*case)
    assert loss.item() == pytest.approx((sum(LOSSES) + 0.05 * 4 + 0.1 * (16 + 0)) / 3)


def test_the_generalised_cross_entropy_by_hand() -> None:
    """p of the true class is 1/4 and 3/4; with q = 1/2 the cross-entropies are multiplied by q * sqrt(p)."""
    logits = torch.tensor([[math.log(3), 0.0], [math.log(3), 0.0]], requires_grad=True)
    weights = generalised_weights(logits, torch.tensor([1, 0]), 0.5)
    assert weights.tolist() == pytest.approx([0.25, 0.5 * math.sqrt(0.75)])
    assert not weights.requires_grad


def test_the_generalised_cross_entropy_has_the_gradient_of_its_closed_form() -> None:
    """``CE * q * p^q`` with p held fixed has q times the gradient of ``(1 - p^q) / q``, as LFF's paper derives."""
    logits = torch.randn(4, 3, dtype=torch.double, requires_grad=True)
    labels, q = torch.tensor([0, 1, 2, 1]), 0.7
    losses = nn.functional.cross_entropy(logits, labels, reduction="none")
    (ours,) = torch.autograd.grad((losses * generalised_weights(logits, labels, q)).sum(), logits)
    right = logits.softmax(1).gather(1, labels[:, None])
    (closed,) = torch.autograd.grad(((1 - right**q) / q).sum(), logits)
    torch.testing.assert_close(ours, q * closed)


def test_moving_averages_are_divided_by_the_largest_of_the_class() -> None:
    average = MovingAverage(torch.tensor([0, 0, 1]))
    assert average.update(torch.tensor([0, 1]), torch.tensor([4.0, 2.0])).tolist() == [1, 0.5]
    assert average.update(torch.tensor([2]), torch.tensor([0.5])).tolist() == [1]
    again = average.update(torch.tensor([1, 2]), torch.tensor([8.0, 1.5]))  # 0.7 * 2 + 0.3 * 8 = 3.8; 0.7 * 0.5 + 0.3 * 1.5 = 0.8
    assert average.values.tolist() == pytest.approx([4, 3.8, 0.8])
    assert again.tolist() == pytest.approx([3.8 / 4, 1])


def test_learning_from_failure_by_hand() -> None:
    """Of the class 0 the biased network fails at image 1, the other network at image 0, so image 1 counts more."""
    lff = LearningFromFailure(make_training([0, 0], [0, 0]), q=0.5)
    biased = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    lff.biased.forward = lambda inputs: biased
    logits = torch.tensor([[0.0, 1.0], [2.0, 0.0]])
    (loss,) = lff.passes(*batch_of(logits, [0, 0]))
    easy = [cross_entropy([1.0, 0.0], 0), cross_entropy([0.0, 2.0], 0)]
    hard = [cross_entropy([0.0, 1.0], 0), cross_entropy([2.0, 0.0], 0)]
    relative = [(e / max(easy), h / max(hard)) for e, h in zip(easy, hard, strict=True)]
    weights = [e / (e + h) for e, h in relative]
    assert weights[1] > 0.5 > weights[0]
    generalised = [0.5 * math.exp(-e) ** 0.5 * e for e in easy]
    expected = (sum(w * h for w, h in zip(weights, hard, strict=True)) + sum(generalised)) / 2
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_scale_gradient_leaves_values_and_multiplies_gradients() -> None:
    values = torch.tensor([1.0, -2.0], requires_grad=True)
    scaled = scale_gradient(values * 3, -0.1)
    assert scaled.tolist() == [3, -6]
    scaled.square().sum().backward()
    assert values.grad is not None
    assert values.grad.tolist() == pytest.approx([-0.1 * 2 * 3 * 3, -0.1 * 2 * -6 * 3])


@pytest.fixture
def lnl() -> tuple[LearningNotToLearn, nn.Sequential, Batch]:
    torch.manual_seed(0)
    method = LearningNotToLearn(make_training([0, 1, 1, 0], [0, 1, 2, 1], [0, 1, 2, 1]), weight=0.3, reversal=-0.1)
    method.double()
    batch = make_batch([0, 1, 1, 0], [0, 1, 2, 1])
    return method, make_network().double(), batch._replace(inputs=batch.inputs.double())


def gradients_of(loss: torch.Tensor, module: nn.Module) -> list[torch.Tensor | None]:
    return list(torch.autograd.grad(loss, list(module.parameters()), retain_graph=True, allow_unused=True))


def test_the_first_pass_of_learning_not_to_learn_by_hand(lnl: tuple[LearningNotToLearn, nn.Sequential, Batch]) -> None:
    """``CE + w * sum p log p``; the adversary is not touched."""
    method, network, batch = lnl
    outputs = outputs_of(network, batch.inputs)
    first = next(method.passes(network, outputs, batch))
    p = method.adversary(outputs.features).softmax(1)
    expected = nn.functional.cross_entropy(outputs.logits, batch.labels) + 0.3 * (p * p.log()).sum(1).mean()
    torch.testing.assert_close(first, expected)
    assert gradients_of(first, method) == [None, None]
    for ours, theirs in zip(gradients_of(first, network), gradients_of(expected, network), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_the_second_pass_teaches_the_adversary_and_reverses_what_it_tells_the_features(
    lnl: tuple[LearningNotToLearn, nn.Sequential, Batch],
) -> None:
    method, network, batch = lnl
    passes = method.passes(network, outputs_of(network, batch.inputs), batch)
    next(passes)
    with torch.no_grad():
        network[0].weight += 1  # the optimizer's step between the passes
    second = next(passes)
    plain = nn.functional.cross_entropy(method.adversary(network[:-1](batch.inputs)), batch.biases)
    torch.testing.assert_close(second, plain)
    for ours, theirs in zip(gradients_of(second, method), gradients_of(plain, method), strict=True):
        torch.testing.assert_close(ours, theirs)
    for ours, theirs in zip(gradients_of(second, network[0]), gradients_of(plain, network[0]), strict=True):
        assert theirs is not None
        torch.testing.assert_close(ours, -0.1 * theirs)
    assert gradients_of(second, network[-1]) == [None, None]
    assert next(passes, None) is None


def test_what_the_adversary_learns_agrees_with_finite_differences(lnl: tuple[LearningNotToLearn, nn.Sequential, Batch]) -> None:
    """The reversed gradient of a weight of the features, against the loss at both sides of it."""
    method, network, batch = lnl
    weight = network[0].weight
    (gradient,) = torch.autograd.grad(method.adversary_loss(outputs_of(network, batch.inputs).features, batch), weight)
    losses = []
    for shift in (1e-6, -2e-6):
        with torch.no_grad():
            weight[1, 2] += shift
        losses.append(method.adversary_loss(outputs_of(network, batch.inputs).features, batch).item())
    assert gradient[1, 2].item() == pytest.approx(-0.1 * (losses[0] - losses[1]) / 2e-6, rel=1e-4)


def test_the_single_pass_has_both_losses(lnl: tuple[LearningNotToLearn, nn.Sequential, Batch]) -> None:
    method, network, batch = lnl
    outputs = outputs_of(network, batch.inputs)
    both = sum(loss.item() for loss in method.passes(network, outputs, batch))
    method.single = True
    (loss,) = method.passes(network, outputs, batch)
    assert loss.item() == pytest.approx(both)


def test_the_irm_penalty_by_hand() -> None:
    """Of logits z and label y the derivative by the scale is ``sum p_j z_j - z_y``; two environments of two images."""
    logits = [[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [0.0, 3.0]]
    labels = [0, 1, 1, 1]

    def derivative(index: int) -> float:
        scores = logits[index]
        total = sum(map(math.exp, scores))
        return sum(math.exp(score) / total * score for score in scores) - scores[labels[index]]

    penalty = irm_penalty(torch.tensor(logits), torch.tensor(labels), torch.tensor([3, 3, 7, 7]))
    expected = derivative(0) * derivative(1) + derivative(2) * derivative(3)
    assert derivative(0) * derivative(1) < 0, "an estimate of a square may be negative"
    assert penalty.item() == pytest.approx(expected, rel=1e-5)


def test_the_irm_penalty_agrees_with_finite_differences_of_the_dummy_scale_and_so_does_its_gradient() -> None:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(11, 3, dtype=torch.double, generator=generator, requires_grad=True)
    labels = torch.randint(3, (11,), generator=generator)
    environments = torch.tensor([0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 5])  # the last has one image, so no second half

    def derivative(picked: list[int], step: float = 1e-5) -> float:
        up, down = (nn.functional.cross_entropy(logits[picked] * scale, labels[picked]).item() for scale in (1 + step, 1 - step))
        return (up - down) / (2 * step)

    halves = [([0, 2], [1, 3]), ([4, 6], [5]), ([7, 9], [8])]
    expected = sum(derivative(first) * derivative(second) for first, second in halves)
    assert irm_penalty(logits, labels, environments).item() == pytest.approx(expected, rel=1e-5)
    assert torch.autograd.gradcheck(lambda scores: irm_penalty(scores, labels, environments), (logits,))


def test_irm_adds_the_weighted_penalty() -> None:
    case = batch_of(torch.tensor(LOGITS), LABELS, [0, 0, 0])
    irm = IRMv1(make_training(LABELS, [0, 0, 0]), weight=10)
    (loss,) = irm.passes(*case)
    penalty = irm_penalty(torch.tensor(LOGITS), torch.tensor(LABELS), torch.tensor([0, 0, 0])).item()
    assert penalty != 0
    assert loss.item() == pytest.approx(sum(LOSSES) / 3 + 10 * penalty)
    assert irm.terms["irm_penalty"] == penalty


@given(st.lists(st.integers(0, 6), min_size=1, max_size=40))
def test_the_halves_of_an_environment_differ_by_one_image_at_most(environments: list[int]) -> None:
    halves = halves_of(torch.tensor(environments)).tolist()
    for environment in set(environments):
        parts = [half for half, other in zip(halves, environments, strict=True) if other == environment]
        assert len({part // 2 for part in parts}) == 1
        assert parts == [parts[0] + number % 2 for number in range(len(parts))]
        assert parts[0] % 2 == 0
    assert len({half // 2 for half in halves}) == len(set(environments))


@pytest.mark.parametrize("name", METHODS)
def test_every_method_gives_the_network_a_finite_gradient(name: str) -> None:
    torch.manual_seed(0)
    labels, groups = [0, 1, 2, 0, 1, 2], [0, 0, 1, 1, 2, 2]
    training = make_training(labels, groups, groups)
    network = make_network(classes=3)
    method = METHODS[name].make(training, **METHODS[name].hyper)
    batch = make_batch(labels, groups)
    for loss in method.passes(network, outputs_of(network, batch.inputs), batch):
        network.zero_grad()
        loss.backward()
        length = sum(float(parameter.grad.square().sum()) for parameter in network.parameters() if parameter.grad is not None)
        assert 0 < length < math.inf


def test_every_method_of_the_paper_is_there_and_a_changed_one_says_so_in_its_name() -> None:
    assert [name for name in METHODS if "-" not in name] == list(PAPER)
    assert all(name.partition("-")[0] in PAPER for name in METHODS)
    for name, method in METHODS.items():
        own = METHODS[name.partition("-")[0]]
        if name.endswith("-variant"):
            assert (method.make, method.batches) != (own.make, own.batches)
            assert method.make is not own.make
        else:
            assert method.make is own.make
