"""Dialogues between people as episodes to learn from: our transcript format, and four published data sets as they are.

Each format is a file here with two functions: `find` goes through its files and yields records, good or bad, and `read`
makes a dialogue of one. What people are and feel outside the dialogue (age, sex, income, personality, what they wrote
in questionnaires) is left where it is; characters are invented. Goals are the role's own numbers in our own words.
"""

from sotopia_pi.interop.dialogues.importing import FORMATS, import_dialogues

__all__ = ["FORMATS", "import_dialogues"]
