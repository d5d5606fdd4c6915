"""The remedy for torchvision beside a CPU build of torch: needed or not, it ends with torchvision imported."""

import sys
import types

import pytest
from trackbridge_examples import torchvision_remedy
from trackbridge_examples.torchvision_remedy import import_torchvision


def test_it_changes_nothing_where_torchvision_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    healthy = types.ModuleType("torchvision")
    monkeypatch.setitem(sys.modules, "torchvision", healthy)
    monkeypatch.setattr(torchvision_remedy, "_declared", declared := [])
    import_torchvision()
    assert sys.modules["torchvision"] is healthy
    assert not declared


def test_other_errors_pass_through(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> types.ModuleType:
        raise RuntimeError("out of cheese")

    monkeypatch.setattr(torchvision_remedy.importlib, "import_module", broken)
    monkeypatch.setattr(torchvision_remedy, "_declared", [])
    with pytest.raises(RuntimeError, match="out of cheese"):
        import_torchvision()


def test_the_installed_torchvision_and_its_transforms_import() -> None:
    import_torchvision()
    from torchvision.transforms import v2

    assert v2.RandAugment
