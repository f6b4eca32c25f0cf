"""One process of a training that accelerate launched: `python -m sotopia_pi.training.worker FOLDER`."""

import sys
from pathlib import Path

from sotopia_pi.training.launch import work

if __name__ == "__main__":
    work(Path(sys.argv[1]))
