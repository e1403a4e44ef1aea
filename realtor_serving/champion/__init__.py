"""The champion: read from the registry, cached on disk and swapped without a restart."""
