"""sotopia-pi: language agents that learn social skill by interaction."""

__version__ = "0.1.0"
