"""The run's database: tasks, episodes, ratings, selections and which stages are finished.

One SQLite file per run, or a PostgreSQL database by URL, with the same tables. What a method has returned from is
stored: a killed process loses nothing but what was in flight.
"""

from sotopia_pi.store.store import Store
from sotopia_pi.store.writer import Writer

__all__ = ["Store", "Writer"]
