"""SageMaker Experiments (https://docs.aws.amazon.com/sagemaker/latest/dg/experiments.html), through boto3: AWS itself, or a server that stands in for it.

Where it lies: ``sagemaker`` is the account and region that AWS's own variables and files name (``AWS_PROFILE``, ``AWS_REGION``, ``~/.aws``);
``sagemaker:http://127.0.0.1:5000`` is another endpoint (``AWS_ENDPOINT_URL``). Options: ``?region=``, ``?profile=``, and ``?bucket=`` for the files, by
default ``sagemaker-REGION-ACCOUNT`` as in SageMaker's own SDK. The project is an experiment, the group a trial in it (``Default-Run-Group-...`` where
there is none), the run a trial component; names that SageMaker does not take are shortened, and end in a digest.

What it keeps: metrics by name and step, which ``batch_get_metrics`` returns; the configuration, and the summary as ``summary/KEY``, as parameters,
numbers as numbers where their type comes back from there, else as a text with JSON; name, project, group, job type, notes and tags as parameters
``trackbridge/...``; status, times, commit and script in the component's own fields. A component has 300 parameters of 2,500 characters: the others lie in
``parameters.json``. Media and artifacts are objects in S3, bytes unchanged; tables and histograms are JSON, texts are texts. The component's output
artifacts point to these files.

What changes: a metric is a double with a step, so text, None, NaN and infinities have no place there, numbers become floats, and of the values of a step
the last one counts. The time of a point is sent, within the two weeks that the service accepts, and never told again.

Every call is synchronous, and what is sent again changes nothing: a metric is known by its name and step, parameters and objects by their names. So a Writer
that has no position sends all. The service refuses metrics beyond its own limit of names: these are counted as ``rejected``, and the others arrive.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar

import msgspec

from trackbridge.adapters import Capabilities, Recovery, Requirements, Sidecar, Target
from trackbridge.errors import SettingsError
from trackbridge_adapters.sagemaker.layout import KEYS, PROJECTION
from trackbridge_adapters.sagemaker.reader import Reader
from trackbridge_adapters.sagemaker.writer import Writer

DEFAULTS = {"region": ("AWS_REGION", "AWS_DEFAULT_REGION"), "profile": ("AWS_PROFILE",)}
ENDPOINT = "AWS_ENDPOINT_URL"


class SagemakerAdapter:
    name: ClassVar[str] = "sagemaker"
    requires: ClassVar[Requirements] = Requirements(
        extra="sagemaker",
        distributions=("boto3>=1.34", "tenacity>=9"),
        tested={"boto3": "1.44.5"},
        credentials=(
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
            "AWS_PROFILE",
            "~/.aws/credentials",
            "~/.aws/config",
        ),
    )

    def resolve(self, target: Target, base: Path) -> Target:
        """Region, profile and endpoint are made explicit where variables tell them; what ``~/.aws`` tells is left to the client."""
        if target.is_path:
            raise SettingsError(
                f"sagemaker takes the URL of an endpoint, not {target.location!r}: AWS itself needs none, a bucket is ?bucket=NAME"
            )
        told = {name: next(filter(None, map(os.environ.get, variables)), "") for name, variables in DEFAULTS.items()}
        if os.environ.get("AWS_ACCESS_KEY_ID"):
            told["profile"] = ""  # as in the client, where keys come before a profile that a variable names
        options = {name: value for name, value in told.items() if value} | target.options
        location = target.location or os.environ.get(ENDPOINT, "")
        return msgspec.structs.replace(target, location=location, options=options).without_credentials()

    def capabilities(self, target: Target, client_version: str = "") -> Capabilities:
        return Capabilities("aws", PROJECTION, KEYS, Recovery.APPEND, Sidecar.STORED)

    def writer(self, target: Target) -> Writer:
        return Writer(target)

    def reader(self, target: Target) -> Reader:
        return Reader(target)

    def ui(self, target: Target) -> list[str]:
        return []


adapter = SagemakerAdapter()
