"""How good a model is: errors, ratio studies, segments, leak canary, model card."""
