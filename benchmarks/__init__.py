"""Benchmarks. Each compares in one run, interleaved, and says what it does not show; no test depends on any of them."""
