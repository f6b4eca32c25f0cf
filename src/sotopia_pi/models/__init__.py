"""Models: asking one, on this machine or as a fake, behind one protocol."""
