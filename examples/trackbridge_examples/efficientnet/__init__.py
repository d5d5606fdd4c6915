"""Small EfficientNets and EfficientNetV2s (arXiv 1905.11946, 2104.00298) on Fashion-MNIST, alone or in studies.

``python -m trackbridge_examples.efficientnet --optimizer madgrad`` trains one; ``--study scaling``, ``versions`` and
``progressive`` compare several; ``--study papers`` and ``--table`` count the published models.
"""
