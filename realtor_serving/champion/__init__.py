"""The model being served: found in the registry, cached on disk, swapped while serving."""
