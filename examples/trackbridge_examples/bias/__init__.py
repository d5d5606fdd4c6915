"""Biased MNIST: seven kinds of bias, the plain model that falls for them, and group DRO, which is told about one.

After "An Investigation of Critical Issues in Bias Mitigation Techniques" (arXiv 2104.00170).
``python -m trackbridge_examples.bias --method all`` trains both models on the same data and compares them.
"""
