"""Values files and tables without the service."""
