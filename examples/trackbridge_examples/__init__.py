"""TrackBridge's examples: two small, complete pieces of research that log through ``trackbridge``.

``python -m trackbridge_examples.bias`` trains on a biased MNIST, ``python -m trackbridge_examples.efficientnet`` a
small EfficientNetV2.  Neither knows which tracker receives what it logs: ``TRACKBRIDGE_BACKEND`` decides.
"""
