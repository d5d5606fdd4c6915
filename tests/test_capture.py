"""System metrics of the training process. No GPU is needed: NVIDIA's library is a stand-in with its names, so real GPUs are not tested."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import threading
import time
import types
from pathlib import Path

import pytest

import trackbridge
from tests.shared import until
from trackbridge import capture, settings
from trackbridge.errors import SettingsError
from trackbridge.journal.reader import JournalReader
from trackbridge.records import Metrics
from trackbridge.run import Run

NAMES = {
    "system/cpu_utilization_percentage",
    "system/process_cpu_utilization_percentage",
    "system/system_memory_usage_megabytes",
    "system/system_memory_usage_percentage",
    "system/process_memory_usage_megabytes",
    "system/disk_usage_percentage",
    "system/disk_usage_megabytes",
    "system/disk_available_megabytes",
    "system/network_receive_megabytes",
    "system/network_transmit_megabytes",
}


@pytest.fixture
def sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKBRIDGE_CAPTURE", "basic,system")
    monkeypatch.setattr(capture, "INTERVAL", 0.01)


def metrics(run: Run) -> list[Metrics]:
    return [record.event for record in JournalReader(run.directory).poll() if isinstance(record.event, Metrics)]


def samples(run: Run) -> list[Metrics]:
    return [event for event in metrics(run) if any(key.startswith("system/") for key in event.values)]


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "trackbridge-system"]


@pytest.mark.parametrize("text", ["sytem", "off,system", "basic,", "system,system"])
def test_what_capture_cannot_be_is_an_error_that_lists_what_it_can(text: str) -> None:
    with pytest.raises(SettingsError, match=r"off, basic, system"):
        settings.read({"TRACKBRIDGE_CAPTURE": text})


def test_without_psutil_init_says_what_to_install_and_begins_nothing(
    sampled: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "psutil", None)
    with pytest.raises(SettingsError, match=r"pip install 'trackbridge\[system\]'"):
        trackbridge.init("p")
    assert not (tmp_path / "journals").exists()


def test_without_psutil_a_run_without_init_goes_on(
    sampled: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "psutil", None)
    trackbridge.log({"loss": 1.0})
    run = trackbridge.current()
    trackbridge.finish()
    assert [event.values for event in metrics(run)] == [{"loss": 1.0}]
    assert capsys.readouterr().err.count("trackbridge[system]") == 1


def test_what_cannot_be_found_out_is_left_out(sampled: None, monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil

    def refused() -> None:
        raise PermissionError("/proc/net/dev")

    monkeypatch.setattr(psutil, "virtual_memory", refused)
    monkeypatch.setattr(psutil, "net_io_counters", lambda: None)
    run = trackbridge.init("p")
    until(lambda: samples(run))
    trackbridge.finish()
    assert samples(run)[0].values.keys() == {name for name in NAMES if "memory" not in name and "network" not in name}


def test_a_driver_that_fails_leaves_the_rest(sampled: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent() -> None:
        raise RuntimeError("NVML Shared Library Not Found")

    monkeypatch.setitem(sys.modules, "pynvml", types.SimpleNamespace(nvmlInit=absent))
    run = trackbridge.init("p")
    until(lambda: samples(run))
    trackbridge.finish()
    assert samples(run)[0].values.keys() == NAMES


def test_samples_are_numbered_by_themselves_and_are_no_calls_of_the_user(sampled: None) -> None:
    run = trackbridge.init("p")
    for _ in range(5):
        before = len(samples(run))
        trackbridge.log({"loss": 0.5})
        until(lambda before=before: len(samples(run)) > before)
    trackbridge.finish()
    assert [event.call for event in metrics(run) if "loss" in event.values] == [0, 1, 2, 3, 4]
    found = samples(run)
    assert [event.step for event in found] == list(range(len(found)))
    assert all(event.values.keys() == NAMES for event in found)
    assert all(type(value) is float and math.isfinite(value) and value >= 0 for event in found for value in event.values.values())


def test_the_process_is_this_one(sampled: None) -> None:
    run = trackbridge.init("p")
    until(lambda: samples(run))
    ballast = b"x" * 300_000_000
    count = len(samples(run))
    until(lambda: len(samples(run)) > count + 1)
    trackbridge.finish()
    used = [event.values["system/process_memory_usage_megabytes"] for event in samples(run)]
    assert used[-1] - used[0] > len(ballast) / 1e6 * 0.9


def test_finish_ends_it_and_nothing_is_refused(sampled: None) -> None:
    run = trackbridge.init("p")
    until(lambda: samples(run))
    report = trackbridge.finish()
    until(lambda: not threads())
    assert "refused" not in str(report)
    assert run._journal.refused_calls == 0
    assert JournalReader(run.directory).poll()[-1].event.status == "finished"


def test_the_thread_ends_at_finish_however_long_the_interval_is(sampled: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "INTERVAL", 86400.0)
    run = trackbridge.init("p")
    assert len(threads()) == 1
    trackbridge.finish()
    until(lambda: not threads())
    assert samples(run) == []  # the first sample comes after the first interval


def test_a_sample_that_comes_after_the_end_is_not_taken(sampled: None) -> None:
    run = trackbridge.init("p")
    trackbridge.finish()
    assert not run._sampled({"system/late": 1.0}, 0)
    assert run._journal.refused_calls == 0


class Busy(threading.Event):
    """Whose wait is a fifth of a second of work, however much of the machine others have."""

    def wait(self, timeout: float | None = None) -> bool:
        end = time.process_time() + 0.2
        while time.process_time() < end:
            pass
        return False


def test_the_first_shares_of_time_are_those_of_the_first_interval(tmp_path: Path) -> None:
    taken: list[dict[str, float]] = []
    capture.System().start(tmp_path, lambda values, number: taken.append(values) or False, Busy())
    until(lambda: taken)
    assert taken[0]["system/process_cpu_utilization_percentage"] > 0


def test_a_forked_child_samples_nothing_and_the_parent_goes_on(sampled: None) -> None:
    run = trackbridge.init("p")
    until(lambda: samples(run))
    for _ in range(20):  # also while a sample is taken
        child = os.fork()
        if child == 0:
            try:
                trackbridge.log({"child": 1.0})
                trackbridge.finish()
                os._exit(len(threads()))
            except BaseException:
                os._exit(99)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    count = len(samples(run))
    until(lambda: len(samples(run)) > count)
    trackbridge.finish()
    shards = {
        record.shard
        for record in JournalReader(run.directory).poll()
        if isinstance(record.event, Metrics) and "child" not in record.event.values
    }
    assert len(shards) == 1


def test_each_gpu_has_its_values(sampled: None, monkeypatch: pytest.MonkeyPatch) -> None:
    library = types.SimpleNamespace(
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: 2,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetMemoryInfo=lambda device: types.SimpleNamespace(used=6e9 * device, total=24e9),
        nvmlDeviceGetUtilizationRates=lambda device: types.SimpleNamespace(gpu=40 + device),
    )
    monkeypatch.setitem(sys.modules, "pynvml", library)
    run = trackbridge.init("p")
    until(lambda: samples(run))
    trackbridge.finish()
    values = samples(run)[0].values
    assert {key: value for key, value in values.items() if "gpu" in key} == {
        "system/gpu_0_utilization_percentage": 40.0,
        "system/gpu_0_memory_usage_megabytes": 0.0,
        "system/gpu_0_memory_usage_percentage": 0.0,
        "system/gpu_1_utilization_percentage": 41.0,
        "system/gpu_1_memory_usage_megabytes": 6000.0,
        "system/gpu_1_memory_usage_percentage": 25.0,
    }


@pytest.mark.parametrize("chosen", ["", "basic", "off"])
def test_it_costs_nothing_when_it_is_not_asked_for(chosen: str) -> None:
    code = (
        "import sys, threading, trackbridge\n"
        "run = trackbridge.init('p'); trackbridge.log({'loss': 1.0}); trackbridge.finish()\n"
        "print('psutil' in sys.modules, 'trackbridge-system' in [thread.name for thread in threading.enumerate()])"
    )
    environment = os.environ | {"TRACKBRIDGE_CAPTURE": chosen}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split() == ["False", "False"]


def test_system_comes_with_the_provenance(monkeypatch: pytest.MonkeyPatch) -> None:
    for chosen in ("system", "system, basic", "basic"):
        monkeypatch.setenv("TRACKBRIDGE_CAPTURE", chosen)
        assert trackbridge.init("p")._start.provenance["python"]
        trackbridge.finish()
    monkeypatch.setenv("TRACKBRIDGE_CAPTURE", "off")
    assert trackbridge.init("p")._start.provenance == {}
