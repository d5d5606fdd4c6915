"""Runs the same experiments through every backend and reports what was measured."""
