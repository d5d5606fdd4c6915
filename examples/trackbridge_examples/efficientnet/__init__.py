"""A small EfficientNetV2 (arXiv 1905.11946, 2104.00298) on Fashion-MNIST, with three optimizers.

``python -m trackbridge_examples.efficientnet --optimizer madgrad`` trains one; ``--table`` counts the published
models' parameters.
"""
