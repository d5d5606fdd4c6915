"""The losses, by hand."""

import math

import numpy as np
import pytest
import torch
from trackbridge_examples.bias.methods import METHODS, GroupDRO, mean_loss


def test_the_standard_model_s_loss_is_the_mean() -> None:
    assert mean_loss(torch.tensor([1.0, 2.0, 6.0]), torch.tensor([0, 0, 1])).item() == 3


def test_group_dro_weighs_the_groups_mean_losses_by_hand() -> None:
    """Group losses 2 and 4: q = (e^0.2, e^0.4) / sum, and the loss is q_0 * 2 + q_1 * 4."""
    dro = GroupDRO(np.array([30, 10]), eta=0.1)
    loss = dro(torch.tensor([1.0, 3.0, 4.0]), torch.tensor([0, 0, 1]))
    total = math.exp(0.2) + math.exp(0.4)
    q = [math.exp(0.2) / total, math.exp(0.4) / total]
    assert dro.q.tolist() == pytest.approx(q)
    assert loss.item() == pytest.approx(2 * q[0] + 4 * q[1])
    assert dro.losses.tolist() == [2, 4]


def test_group_dro_remembers_its_weights_and_an_absent_group_loses_some() -> None:
    dro = GroupDRO(np.array([1, 1, 0]), eta=math.log(2))
    assert dro.q.tolist() == [0.5, 0.5, 0]  # the third group has no training image
    loss = dro(torch.tensor([1.0]), torch.tensor([0]))
    assert dro.q.tolist() == pytest.approx([2 / 3, 1 / 3, 0])
    assert loss.item() == pytest.approx(2 / 3)
    assert math.isnan(dro.losses[1].item())
    dro(torch.tensor([2.0]), torch.tensor([0]))
    assert dro.q.tolist() == pytest.approx([8 / 9, 1 / 9, 0])


def test_the_variant_divides_by_the_weight_of_the_groups_present() -> None:
    dro = GroupDRO(np.array([1, 1, 1, 1]), eta=0.0, normalise=True)
    loss = dro(torch.tensor([1.0, 5.0]), torch.tensor([0, 2]))
    assert loss.item() == pytest.approx(3)


def test_group_dro_s_gradient_is_q_over_the_group_s_size() -> None:
    losses = torch.tensor([1.0, 3.0, 4.0], requires_grad=True)
    dro = GroupDRO(np.array([2, 1]), eta=0.5)
    dro(losses, torch.tensor([0, 0, 1])).backward()
    q = dro.q.tolist()
    assert losses.grad is not None
    assert losses.grad.tolist() == pytest.approx([q[0] / 2, q[0] / 2, q[1]])


def test_a_method_that_changes_the_published_loss_says_so_in_its_name() -> None:
    assert all(name.endswith("-variant") for name, method in METHODS.items() if method.normalise)
