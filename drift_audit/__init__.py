"""What a deploy did to the configuration of a Cloud Run service."""

__version__ = "0.1.0"
