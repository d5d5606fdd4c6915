"""Any of the examples as a grid of runs, on this machine through joblib or on a Ray cluster.

``python -m trackbridge_examples.sweep bias --grid method=stdm,gdro p=0.5,0.9 seed=1,2,3 --jobs 2``
"""
