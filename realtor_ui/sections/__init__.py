"""Sections of pages: each draws one thing from responses of the service that it is given."""
