"""The component whose task puts out a run. KFP takes its source apart, so its annotations are no texts; it is imported only where KFP is."""

from kfp import dsl


def trackbridge(
    folder: str,
    run: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    classification: dsl.Output[dsl.ClassificationMetrics],
    series: dsl.Output[dsl.Dataset],
    page: dsl.Output[dsl.HTML],
    description: dsl.Output[dsl.Markdown],
) -> None:
    from trackbridge_adapters.kubeflow.outputs import adopt, fill

    adopt(folder, run.path)
    fill(run, metrics, classification, series, page, description)
