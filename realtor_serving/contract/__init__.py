"""The HTTP contract: what the service accepts and answers."""
