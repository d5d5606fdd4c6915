"""Biased MNIST and CelebA: what a network leans on, plainly trained or with one of seven methods that mitigate bias.

After "An Investigation of Critical Issues in Bias Mitigation Techniques" (arXiv 2104.00170).
``python -m trackbridge_examples.bias --method paper`` trains all eight models on the same data and compares them.
"""
