"""Published SOTOPIA data in and out: profile files, episode files, chats for trainers, Hugging Face folders.

Every imported record is kept letter for letter beside what it became, so that an export gives back what came in.
Imported files are untrusted: a record that cannot be read is listed with its line number and left out whole.
"""

from sotopia_pi.interop.problems import Report

__all__ = ["Report"]
