"""MADGRAD (arXiv 2101.11075) against Adam, AdamW and SGD with momentum, each with its own learning rate and weight decay.

``python -m trackbridge_examples.madgrad`` trains one network; ``--study`` searches for each optimizer's settings and compares them.
"""
