"""Files and tables valued without the service."""
