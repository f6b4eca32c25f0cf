"""`python -m sotopia_pi` is `sotopia-pi`."""

import sys

from sotopia_pi.cli.main import main

sys.exit(main())
