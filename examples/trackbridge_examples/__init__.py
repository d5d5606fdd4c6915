"""TrackBridge's examples: small, complete pieces of research that log through ``trackbridge``.

``python -m trackbridge_examples.bias`` trains on a biased MNIST, ``python -m trackbridge_examples.efficientnet`` a
small EfficientNetV2, ``python -m trackbridge_examples.madgrad`` compares optimizers, and ``python -m
trackbridge_examples.sweep`` makes many runs of any of them.  None knows which tracker receives what it logs:
``TRACKBRIDGE_BACKEND`` decides.
"""
