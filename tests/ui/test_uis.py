"""Each tracker's own UI shows a run that came through TrackBridge: its name, a metric, a configuration value, and where the rest is.

``UI_SCREENSHOTS=docs/screenshots pytest tests/ui`` also takes the pictures of ``docs/uis.md``.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.shared import command
from tests.ui import browser
from tests.ui.browser import opened, train, visitor

pytestmark = browser.browser


def test_mlflow(tmp_path: Path) -> None:
    target = f"mlflow:{tmp_path}/mlflow"
    train(target, tmp_path)
    with opened(target, tmp_path, "/health") as url, visitor() as user:
        user.page.goto(f"{url}/#/experiments/1/runs?workflowType=machine_learning")
        user.clicks("small-network")
        user.clicks("Close", "button")  # the assistant
        user.clicks("Model training")
        user.clicks("small-network")
        user.sees("small-network", "train/loss", "0.003", "resnet18", "The loss falls.", "train.py", '"baseline"', "Finished")
        user.page.get_by_placeholder("Search metrics").fill("train")
        user.takes("mlflow")
        user.clicks("System metrics", "tab")
        user.sees("cpu_utilization_percentage", "network_receive_megabytes")
        user.takes("mlflow-system")


def test_tensorboard(tmp_path: Path) -> None:
    target = f"tensorboard:{tmp_path}/tensorboard"
    run_id = train(target, tmp_path)
    with opened(target, tmp_path, "/data/runs") as url, visitor() as user:
        user.page.goto(url)
        user.sees(f"digits/small-network-{run_id}", "system", "samples·image.png")
        user.page.locator("input[placeholder='Filter tags (regex)']").fill("train|val|samples")
        user.page.keyboard.press("Escape")
        user.sees("/loss", "/accuracy")
        user.takes("tensorboard")
        user.clicks("HParams", "tab")
        user.sees(run_id, "resnet18", "0.0030000", "train/loss", "system/cpu_utilization_percentage")
        user.clicks("Text", "tab")
        user.sees("It is a test.", '"script": "train.py"')


def test_aim(tmp_path: Path) -> None:
    target = f"aim:{tmp_path}/aim"
    train(target, tmp_path)
    offline = r"loadPyodide is not a function|Failed to fetch"
    with opened(target, tmp_path, "/api/projects/") as url, visitor(offline) as user:
        user.page.goto(f"{url}/runs")
        user.clicks("Skip")
        user.clicks("small-network")
        user.sees("small-network", "0.003", '"resnet18"', "baseline", "The loss falls.", "Finished", "trackbridge.provenance.")
        user.takes("aim")
        user.clicks("Metrics", "tab")
        user.sees("system/disk_available_megabytes")
        user.clicks("System", "tab")
        user.sees("CPU (%)", "Memory (%)", "Disk (%)")
        user.takes("aim-system")
        user.clicks("Images", "tab")
        user.sees("samples")


def test_trackio(tmp_path: Path) -> None:
    target = f"trackio:{tmp_path}/trackio"
    train(target, tmp_path)
    with opened(target, tmp_path) as url, visitor() as user:
        user.page.goto(url)
        user.sees("small-network", "loss", "accuracy", "cpu_utilization_percentage")
        user.page.get_by_placeholder("e.g., loss").first.fill("train|val")
        user.takes("trackio")
        user.clicks("Media & Tables", "button")
        user.sees("colours")
        user.clicks("Runs", "button")
        user.page.locator("td").get_by_text("small-network").click()
        user.sees('"lr": 0.003', "train/loss", '"script": "train.py"', '"baseline"', "The loss falls.")
        user.takes("trackio-run")


def test_guild(tmp_path: Path) -> None:
    target = f"guild:{tmp_path}/guild"
    run_id = train(target, tmp_path)
    with opened(target, tmp_path) as url, visitor() as user:
        user.page.goto(url)
        user.sees("small-network", run_id, "digits:train.py", "resnet18", "0.003", "train/loss", "The loss falls.", "baseline, vision")
        user.takes("guild")


def test_dvc(tmp_path: Path) -> None:
    """DVC's own table in the terminal, and its page of plots, which asks for Vega from the internet: the visitor brings another copy."""
    vega = pytest.importorskip("vl_convert").javascript_bundle("window.vegaEmbed = vegaEmbed")
    target = f"dvc:{tmp_path}/dvc"
    run_id = train(target, tmp_path)
    shown = shlex.split(command("open", target, "--print").stdout)
    table = subprocess.run(shown, env=os.environ | {"COLUMNS": "1000"}, capture_output=True, text=True, check=True).stdout
    name = f"small-network-{run_id}"
    for text in (name, "train/loss", "resnet18", "0.003", "train.py"):
        assert text in table
    page = tmp_path / "plots"
    subprocess.run([*shown[:3], "plots", "diff", name, "--out", str(page)], capture_output=True, check=True)
    with visitor(instead={"vega-embed": vega, "/vega@": "", "/vega-lite@": ""}) as user:
        user.page.goto(f"file://{page}/index.html")
        user.sees(name, "train/loss.tsv", "val/accuracy.tsv", "system/cpu_utilization_percentage.tsv", "samples/59.png")
        user.page.get_by_text("train/loss.tsv").first.scroll_into_view_if_needed()
        user.takes("dvc")
