"""The git and DVC repository: made where there is none, given experiments by plumbing that touches no branch, index or working tree."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

from trackbridge import files
from trackbridge.errors import Unavailable
from trackbridge.files import outage
from trackbridge_adapters.dvc.layout import BESIDE, RUN

SECONDS = 120  # that one command may take
LIVE = "dvclive"  # the folder of a run in its experiment
IDENTITY = ("TrackBridge", "trackbridge@localhost")
ELSEWHERE = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR", "GIT_NAMESPACE", "GIT_PREFIX")
QUIET = {"DVC_NO_ANALYTICS": "1", "ITERATIVE_DO_NOT_TRACK": "1", "DVC_STUDIO_OFFLINE": "true", "GIT_TERMINAL_PROMPT": "0"}


class Repository:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.runs = root / BESIDE

    def prepare(self) -> None:
        """Make the repository, unless it is there, and the folder of the runs in it.

        Raises:
            Unavailable: it has no commit or no DVC, or the disk refuses.
        """
        with outage(self.root):
            if not (self.root / ".git").exists():
                self._make()
            if not (self.root / ".dvc").is_dir():
                raise Unavailable(f"{self.root} is a git repository without DVC: run  dvc init  there, and commit")
            self._git("rev-parse", "--verify", "HEAD^{commit}")
            self.runs.mkdir(exist_ok=True)
            for name in (".gitignore", ".dvcignore"):
                if not (self.runs / name).exists():
                    put(self.runs / name, b"*\n")

    def _make(self) -> None:
        """The parts are renamed into place when they are whole, ``.git`` last; another process may be quicker."""
        self.root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.root, prefix=".trackbridge-") as scratch:
            made = Repository(Path(scratch))
            made._git("init", "--quiet", "--template=", "--initial-branch=main")
            for name, text in zip(("user.name", "user.email"), IDENTITY, strict=True):
                made._git("config", name, text)
            made._command([sys.executable, "-m", "dvc", "init", "--quiet"])
            made._git("-c", "commit.gpgsign=false", "commit", "--quiet", "--no-verify", "--message", "A repository for experiments")
            for name in (".dvc", ".dvcignore", ".git"):
                with contextlib.suppress(OSError):
                    os.rename(Path(scratch, name), self.root / name)

    def save(self, folder: Path, baseline: str, message: str, time: int) -> str:
        """Make the files of `folder` the folder :data:`LIVE` of the experiment of its name; its commit."""
        ours = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
        name, names = folder.name, sorted(path.relative_to(folder).as_posix() for path in ours)
        with tempfile.TemporaryDirectory(prefix="trackbridge-") as scratch:
            index = {"GIT_INDEX_FILE": str(Path(scratch, "index"))}
            base = self._git("rev-parse", "--verify", "HEAD").strip()
            if baseline and self._git("rev-parse", "--quiet", "--verify", baseline + "^{commit}", check=False):
                base = baseline
            self._git("read-tree", base, variables=index)
            former = self._git("ls-files", "-z", "--", LIVE, variables=index).split("\0")[:-1]
            written = self._git("hash-object", "-w", "--no-filters", "--stdin-paths", input="".join(f"{folder / one}\n" for one in names))
            entries = [f"0 {'0' * 40}\t{path}\0" for path in former]
            entries += [f"100644 {blob}\t{LIVE}/{one}\0" for blob, one in zip(written.split(), names, strict=True)]
            self._git("update-index", "-z", "--index-info", input="".join(entries), variables=index)
            tree = self._git("write-tree", variables=index).strip()
        commit = self._git("commit-tree", tree, "-p", base, "-F", "-", input=message, variables=self._signature(time)).strip()
        ref = f"refs/exps/{base[:2]}/{base[2:]}/{name}"
        self._git("update-ref", ref, commit)
        for other in self._git("for-each-ref", "--format=%(refname)", f"refs/exps/*/*/{name}").split():
            if other != ref:  # of the same run, started from another commit
                self._git("update-ref", "-d", other)
        return commit

    def _signature(self, time: int) -> dict[str, str]:
        """Who commits, and when: whoever git knows, else ourselves."""
        told: dict[str, str] = {}
        for role in ("AUTHOR", "COMMITTER"):
            if not self._git("var", f"GIT_{role}_IDENT", check=False):
                told |= {f"GIT_{role}_NAME": IDENTITY[0], f"GIT_{role}_EMAIL": IDENTITY[1]}
            told[f"GIT_{role}_DATE"] = f"@{time // 10**9} +0000"
        return told

    def experiments(self) -> dict[str, tuple[str, str]]:
        """By name the experiments that have a run.yaml: the commit, and what that file says."""
        if not (self.root / ".git").exists():
            return {}
        lines = [line.split() for line in self._git("for-each-ref", "--format=%(objectname) %(refname)", "refs/exps/*/*/*").splitlines()]
        asked = "".join(f"{commit}:{LIVE}/{RUN}\n" for commit, _ in lines)
        answers = BytesIO(self._command(["git", "cat-file", "--batch"], asked).stdout)
        found = {}
        for commit, ref in lines:
            _, _, size = answers.readline().rpartition(b" ")
            if size != b"missing\n":
                found[ref.rpartition("/")[2]] = commit, answers.read(int(size) + 1).decode(errors="replace")
        return found

    def files(self, commit: str) -> Any:
        """The files of an experiment as DVC's own interface tells them, those too that it keeps outside git."""
        from dvc.api import DVCFileSystem

        return DVCFileSystem(str(self.root), rev=commit)

    def extract(self, files: Any, folder: Path) -> None:
        """Write what git has of the run's folder in an experiment to `folder`, which appears when it is whole.

        Args:
            files: of :meth:`files`; it reads all ``.dvc`` files of the experiment when it is first asked.
        """
        kept = set(files.find(LIVE, dvc_only=True))
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".") as scratch:
            for path in files.find(LIVE, dvcfiles=True):
                if path not in kept and ".." not in path.split("/"):
                    files.get_file(path, str(Path(scratch, path)))
            os.rename(Path(scratch, LIVE), folder)

    @functools.cached_property
    def _cache(self) -> Path:
        from dvc.config import Config

        return Path(self.root / ".dvc", Config(str(self.root / ".dvc")).get("cache", {}).get("dir") or "cache")

    def cached(self, md5: str) -> Path:
        """Where DVC's cache has the content of this MD5."""
        return self._cache / "files" / "md5" / md5[:2] / md5[2:]

    def keep(self, content: Path) -> str:
        """Put a file into DVC's cache; the text of the ``.dvc`` file that stands for it."""
        with content.open("rb") as file:
            md5 = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        place = self.cached(md5)
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            partial = place.with_name(f".{place.name}.{os.getpid()}.part")
            shutil.copyfile(content, partial)
            partial.chmod(0o444)
            os.replace(partial, place)
        return f"outs:\n- md5: {md5}\n  size: {content.stat().st_size}\n  hash: md5\n  path: "

    def _git(self, *arguments: str, input: str = "", check: bool = True, variables: Mapping[str, str] | None = None) -> str:
        """What git prints; "" when it fails and that may be."""
        done = self._command(["git", "-c", "core.hooksPath=/dev/null", *arguments], input, check, variables)
        return done.stdout.decode() if done.returncode == 0 else ""

    def _command(
        self, command: list[str], input: str = "", check: bool = True, variables: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        environment = {name: text for name, text in os.environ.items() if name not in ELSEWHERE} | QUIET | dict(variables or {})
        try:
            done = subprocess.run(
                command, cwd=self.root, env=environment, input=input.encode(), capture_output=True, timeout=SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Unavailable(f"{command[0]} in {self.root}: {error}") from error
        if check and done.returncode:
            raise Unavailable(f"{' '.join(command[:5])} in {self.root}: {done.stderr.decode(errors='replace').strip()[-500:]}")
        return done


def put(path: Path, data: bytes) -> None:
    """Put `data` at `path` and make its folder; whenever this process dies the file is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    files.replace(path, data, sync=False)


def pointer(text: str, name: str) -> bytes:
    """The ``.dvc`` file of the file `name`; `text` as :meth:`Repository.keep` returns it."""
    return f"{text}{json.dumps(name, ensure_ascii=False)}\n".encode()
