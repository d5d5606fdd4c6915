"""The report of the experiments, made of runs that are read back through trackbridge, from journals or any tracker.

``python -m trackbridge_examples.report --source mlflow:sqlite:///mlflow.db`` writes it as Markdown and HTML.
"""
