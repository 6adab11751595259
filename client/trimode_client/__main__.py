"""`python -m trimode_client` is the `trimode` command."""

import sys

from .cli import main

sys.exit(main())
