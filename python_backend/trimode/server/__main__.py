"""`python -m trimode.server` is the `trimode-serve` command."""

import sys

from .cli import main

sys.exit(main())
