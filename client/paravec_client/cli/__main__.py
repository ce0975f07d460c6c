"""python -m paravec_client.cli"""

import sys

from . import main

sys.exit(main())
