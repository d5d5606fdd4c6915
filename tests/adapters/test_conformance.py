"""The conformance suite on every adapter of this repository, as a third party runs it on its own."""

from trackbridge.testing.suite import *  # noqa: F403
