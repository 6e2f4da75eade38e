"""`python -m sparsemod`."""

import sys

from sparsemod.cli import main

sys.exit(main())
