"""AWS through boto3: the clients, what we ask of them, and their errors in our words."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from trackbridge.adapters import Target
from trackbridge.errors import Unavailable
from trackbridge_adapters.sagemaker.layout import METRICS, NEWEST, OLDEST, QUERIES

THREADS = 4
"""Calls at once: each holds ten values, and takes the time of a way to AWS and back."""

ABSENT = {"ResourceNotFound", "ResourceNotFoundException", "404", "NoSuchKey", "NoSuchBucket"}
OURS = {"ValidationException", "ValidationError", "InvalidParameterValue"}
"""Codes of errors that do not go away by themselves, as the limits are kept here."""

FINAL = {"METRIC_LIMIT_EXCEEDED", "VALIDATION_ERROR"}
"""Codes with which the service refuses a metric for good."""


@contextlib.contextmanager
def outage() -> Iterator[None]:
    """What AWS, the network or missing credentials refuse may go away by itself."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

    try:
        yield
    except ParamValidationError:
        raise
    except ClientError as error:
        if code(error) in OURS:
            raise
        raise Unavailable(f"SageMaker: {str(error)[:300]}") from error
    except (BotoCoreError, Boto3Error) as error:
        raise Unavailable(f"SageMaker: {str(error)[:300]}") from error


def code(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def absent(error: Any) -> bool:
    """Whether a client's error says that something is not there."""
    return code(error) in ABSENT or "Could not find" in str(error)


class Amazon:
    """The services of one account and region."""

    def __init__(self, target: Target) -> None:
        self._target = target

    @functools.cached_property
    def _session(self) -> Any:
        import boto3

        user, _, password = self._target.credentials.partition(":")
        keys = {"aws_access_key_id": user, "aws_secret_access_key": password} if user else {}
        options = self._target.options
        return boto3.Session(profile_name=options.get("profile"), region_name=options.get("region"), **keys)

    def _client(self, service: str) -> Any:
        from botocore.config import Config

        endpoint = self._target.location or None
        style = {"addressing_style": "path"} if endpoint else None
        retries = {"max_attempts": 4, "mode": "standard"}
        config = Config(connect_timeout=10, read_timeout=60, retries=retries, s3=style, user_agent_extra="trackbridge")
        return self._session.client(service, endpoint_url=endpoint, config=config)

    @functools.cached_property
    def sagemaker(self) -> Any:
        return self._client("sagemaker")

    @functools.cached_property
    def metrics(self) -> Any:
        return self._client("sagemaker-metrics")

    @functools.cached_property
    def s3(self) -> Any:
        return self._client("s3")

    @functools.cached_property
    def bucket(self) -> str:
        """The bucket for files; SageMaker's default one is made where it is absent, and used only if this account owns it."""
        from botocore.exceptions import ClientError

        if chosen := self._target.options.get("bucket"):
            return chosen
        region, account = self.s3.meta.region_name, self._client("sts").get_caller_identity()["Account"]
        name = f"sagemaker-{region}-{account}"
        try:
            self.s3.head_bucket(Bucket=name, ExpectedBucketOwner=account)
        except ClientError as error:
            if not absent(error):
                raise
            place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
            self.s3.create_bucket(Bucket=name, **place)
        return name

    def component(self, name: str) -> dict[str, Any] | None:
        """The trial component of this name, None where there is none."""
        return self._found(self.sagemaker.describe_trial_component, TrialComponentName=name)

    def place(self, experiment: str, described: str, trial: str, component: str) -> None:
        """See that the component is in this trial of this experiment."""
        from botocore.exceptions import ClientError

        if self._found(self.sagemaker.describe_trial, TrialName=trial) is None:
            try:
                self.sagemaker.create_experiment(ExperimentName=experiment, Description=described)
            except ClientError as error:
                if "already exists" not in str(error):
                    raise
            try:
                self.sagemaker.create_trial(TrialName=trial, ExperimentName=experiment)
            except ClientError as error:
                if "already exists" not in str(error):
                    raise
        wanted = (("TrialComponentName", component), ("Parents.TrialName", trial))
        filters = [{"Name": name, "Operator": "Equals", "Value": value} for name, value in wanted]
        if not self.sagemaker.search(Resource="ExperimentTrialComponent", SearchExpression={"Filters": filters})["Results"]:
            self.sagemaker.associate_trial_component(TrialComponentName=component, TrialName=trial)

    def _found(self, describe: Any, **name: str) -> dict[str, Any] | None:
        from botocore.exceptions import ClientError

        try:
            found: dict[str, Any] = describe(**name)
        except ClientError as error:
            if absent(error):
                return None
            raise
        return found

    def put(self, component: str, points: Sequence[tuple[str, int, float, int]]) -> dict[str, str]:
        """Send metrics (name, step, value, nanoseconds), no two of one name and step. The names that are refused for good, and the codes."""
        low, high = time.time() - OLDEST + 600, time.time() + NEWEST - 600

        def send(first: int) -> dict[str, str]:
            part = points[first : first + METRICS]
            data = [
                {
                    "MetricName": name,
                    "Step": step,
                    "Value": value,
                    "Timestamp": datetime.fromtimestamp(min(max(stamp / 1e9, low), high), UTC),
                }
                for name, step, value, stamp in part
            ]
            errors = self.metrics.batch_put_metrics(TrialComponentName=component, MetricData=data).get("Errors", [])
            return {part[error["MetricIndex"]][0]: error["Code"] for error in errors}

        refused: dict[str, str] = {}
        with ThreadPoolExecutor(THREADS) as pool:
            for found in pool.map(send, range(0, len(points), METRICS)):
                refused |= found
        if refused and (set(refused.values()) - FINAL or self.component(component) is None):
            raise Unavailable(f"SageMaker does not take metrics of {component} now: {refused}")
        return refused

    def series(self, component: str, names: Sequence[str]) -> dict[str, list[tuple[int, float]]]:
        """The steps and values of metrics. An answer that is cut is asked on from its end."""
        found: dict[str, list[tuple[int, float]]] = {name: [] for name in names}
        starts = dict.fromkeys(names, 0)
        about = {"ResourceArn": component, "MetricStat": "Last", "Period": "IterationNumber", "XAxisType": "IterationNumber"}
        while starts:
            asked = list(starts.items())[:QUERIES]
            queries = [{"MetricName": name, **about} | ({"Start": start} if start else {}) for name, start in asked]
            answers = self.metrics.batch_get_metrics(MetricQueries=queries)["MetricQueryResults"]
            for (name, _), answer in zip(asked, answers, strict=True):
                if answer["Status"] not in ("Complete", "Truncated"):
                    raise RuntimeError(f"SageMaker does not tell the metric {name!r}: {answer.get('Message', answer['Status'])}")
                found[name] += zip(answer["XAxisValues"], answer["MetricValues"], strict=True)
                del starts[name]
                if answer["Status"] == "Truncated" and answer["XAxisValues"]:
                    starts[name] = found[name][-1][0] + 1
        return found

    def put_object(self, key: str, body: bytes, kind: str, metadata: dict[str, str] | None = None) -> str:
        """Store an object; its address."""
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body, ContentType=kind, Metadata=metadata or {})
        return f"s3://{self.bucket}/{key}"

    def upload(self, key: str, path: Path, kind: str, metadata: dict[str, str]) -> None:
        self.s3.upload_file(str(path), self.bucket, key, ExtraArgs={"ContentType": kind, "Metadata": metadata})

    def get_object(self, address: str) -> dict[str, Any]:
        """The answer to a request for the object at ``s3://BUCKET/KEY``."""
        bucket, _, key = address.removeprefix("s3://").partition("/")
        answer: dict[str, Any] = self.s3.get_object(Bucket=bucket, Key=key)
        return answer

    def content(self, address: str) -> bytes | None:
        """The bytes of the object at ``s3://BUCKET/KEY``, None where somebody has removed it."""
        found = self._found(self.get_object, address=address)
        return None if found is None else found["Body"].read()

    def objects(self, address: str) -> Iterator[tuple[str, str]]:
        """The objects below ``s3://BUCKET/PREFIX``: the rest of their keys, and their addresses."""
        bucket, _, prefix = address.removeprefix("s3://").partition("/")
        for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for found in page.get("Contents", []):
                yield found["Key"].removeprefix(prefix), f"s3://{bucket}/{found['Key']}"
