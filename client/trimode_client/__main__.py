"""`python -m trimode_client` is the `trimode` command."""

import sys

from .cli.main import main

sys.exit(main())
