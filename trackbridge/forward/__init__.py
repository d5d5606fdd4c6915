"""Delivery of a run's journal to one tracker, outside the training process."""
