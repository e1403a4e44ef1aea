"""Whether a new batch is worth a training: drift, lost relations, and the policy."""
