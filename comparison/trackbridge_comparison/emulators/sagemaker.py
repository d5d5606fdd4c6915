"""moto, a stand-in for AWS on loopback: ``python sagemaker.py PORT`` in an environment of its own serves it.

It lacks ``BatchGetMetrics``, which is added here as botocore's model of the service describes it, and its summaries of metrics overflow.
"""

from __future__ import annotations

import datetime
import json
import sys
from typing import Any

REQUIREMENT = "moto[server]==5.2.5"
READY = "/moto-api/data.json"
ADDRESS = "AWS_ENDPOINT_URL"
"""The variable that leads a client to it."""

VARIABLES = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1"}
"""Its own: it makes requests of itself."""

LIMIT = 6000
"""Values after which it truncates the answer to a query."""


def batch_get_metrics(response: Any) -> str:
    """The last value of each step, in their order."""
    components = response.sagemakermetrics_backend.sagemaker_backend.trial_components
    results = []
    for query in response._get_param("MetricQueries"):
        assert (query["MetricStat"], query["Period"], query["XAxisType"]) == ("Last", "IterationNumber", "IterationNumber")
        metrics = components[query["ResourceArn"].rpartition("/")[2]].metrics
        values = metrics[query["MetricName"]]["Values"] if query["MetricName"] in metrics else {}
        steps = sorted(step for step in values if query.get("Start", 0) <= step <= query.get("End", step))
        status = "Truncated" if len(steps) > LIMIT else "Complete"
        shown = steps[:LIMIT]
        results.append({"Status": status, "XAxisValues": shown, "MetricValues": [values[step]["Value"] for step in shown]})
    return json.dumps({"MetricQueryResults": results})


def summaries(component: Any) -> list[dict[str, Any]]:
    """Of each metric what does not overflow."""
    found = []
    for name, metric in component.metrics.items():
        steps = metric["Values"]
        values, time = [point["Value"] for point in steps.values()], datetime.datetime.fromtimestamp(metric["Timestamp"], datetime.UTC)
        about = {"MetricName": name, "SourceArn": component.arn, "TimeStamp": time, "Count": len(values)}
        found.append(about | {"Min": min(values), "Max": max(values), "Last": steps[max(steps)]["Value"]})
    return found


def serve(port: str) -> None:
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication as Dispatcher
    from moto.sagemaker.models import FakeTrialComponent
    from moto.sagemakermetrics import responses, urls
    from moto.server import main

    host = Dispatcher.infer_service_region_host

    def metrics_host(self: Any, environ: dict[str, Any], path: str) -> Any:
        found = host(self, environ, path)
        return found.replace("api.", "metrics.", 1) if path == "/BatchGetMetrics" else found

    FakeTrialComponent.gen_metrics_response_object = summaries
    Dispatcher.infer_service_region_host = metrics_host
    responses.SageMakerMetricsResponse.batch_get_metrics = batch_get_metrics
    urls.url_paths["{0}/BatchGetMetrics$"] = responses.SageMakerMetricsResponse.dispatch
    main(["-H", "127.0.0.1", "-p", port])


if __name__ == "__main__":
    serve(sys.argv[1])
