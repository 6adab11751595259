"""`python -m trimode_convert`."""

import sys

from .cli import main

sys.exit(main())
