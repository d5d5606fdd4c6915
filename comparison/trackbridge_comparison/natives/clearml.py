"""ClearML offline, as without a server: a session as a zip file or a folder, which ``Task.import_offline_session`` uploads.

The repository is told by the client's own variables: its detection waits for a minute in a repository that has no remote.
"""

import os

from clearml import Task


def start(folder, name):
    os.environ |= {"CLEARML_CACHE_DIR": str(folder)} | {
        f"CLEARML_VCS_{word}": "none" for word in ("REPO_URL", "BRANCH", "COMMIT_ID", "ROOT")
    }
    Task.set_offline(offline_mode=True)
    return Task.init(project_name="comparison", task_name=name, reuse_last_task_id=False)


def log(run, values, step):
    logger = run.get_logger()
    for key, value in values.items():
        title, _, series = key.rpartition("/")
        logger.report_scalar(title or key, series, value, step)


def finish(run):
    run.close()
