"""Valuation of files and tables without the service."""
