"""The service on the network: limits, keys, logs, metrics, pages and bodies."""
