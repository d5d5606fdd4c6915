"""The adapters that come with TrackBridge, one module per tracker."""
