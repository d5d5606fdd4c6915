"""Between a journal and a tracker, or two trackers: verification."""
