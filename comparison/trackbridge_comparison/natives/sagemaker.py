"""SageMaker's metrics through boto3: a trial component, and ten values in a request, which is the service's limit. AWS's variables say where."""

import time

import boto3


def start(folder, name):
    boto3.client("sagemaker").create_trial_component(TrialComponentName=name)
    return name, boto3.client("sagemaker-metrics")


def log(run, values, step):
    name, client = run
    data = [{"MetricName": key, "Timestamp": int(time.time()), "Step": step, "Value": value} for key, value in values.items()]
    for first in range(0, len(data), 10):
        client.batch_put_metrics(TrialComponentName=name, MetricData=data[first : first + 10])


def finish(run):
    boto3.client("sagemaker").update_trial_component(TrialComponentName=run[0], Status={"PrimaryStatus": "Completed"})


def read(folder, name):
    component = boto3.client("sagemaker").describe_trial_component(TrialComponentName=name)
    keys = [metric["MetricName"] for metric in component["Metrics"]]
    query = {
        "MetricStat": "Last",
        "Period": "IterationNumber",
        "XAxisType": "IterationNumber",
        "ResourceArn": component["TrialComponentArn"],
    }
    series = {}
    for key in keys:
        (found,) = boto3.client("sagemaker-metrics").batch_get_metrics(MetricQueries=[query | {"MetricName": key}])["MetricQueryResults"]
        series[key] = list(zip(found["XAxisValues"], found["MetricValues"], strict=True))
    return series
