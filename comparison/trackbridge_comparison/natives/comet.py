"""Comet offline, as without an account: an archive that ``comet upload`` sends, and read here as what it is."""

from pathlib import Path

import comet_ml


def start(folder, name, **options):
    place = str(Path(folder) / name)
    run = comet_ml.OfflineExperiment(project_name="comparison", workspace="none", offline_directory=place, **options)
    run.set_name(name)
    return run


def tuned_start(folder, name):
    """Nothing is logged by itself."""
    about = ("log_code", "log_graph", "log_env_details", "log_env_gpu", "log_env_host", "log_env_cpu", "log_git_metadata", "log_git_patch")
    by_itself = ("auto_param_logging", "auto_metric_logging", "auto_output_logging", "parse_args")
    return start(folder, name, **dict.fromkeys(about + by_itself, False))


def log(run, values, step):
    run.log_metrics(values, step=step)


def finish(run):
    run.end()
