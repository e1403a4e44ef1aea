"""CLEAN → candidates: each regressor is an asset, trained and tracked, judged on validation."""

from realtor_assets.models.candidates import candidates

assets = candidates
