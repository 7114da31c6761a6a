"""What every test has."""

from __future__ import annotations

import os

from hypothesis import settings

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # before anything imports grpc

settings.register_profile("default", deadline=None, max_examples=100)
settings.load_profile("default")
