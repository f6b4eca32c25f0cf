"""The browser application over one or more runs: reading, comparing, rating and playing."""
