"""Candidates → Production: the best one, its duel with the champion, and who serves.

best_model → promotion_decision (duel) → production_model → bento → served_model, champion_change.
"""

from realtor_assets.release.change import champion_change
from realtor_assets.release.duel import promotion_decision
from realtor_assets.release.production import production_model
from realtor_assets.release.selection import best_model
from realtor_assets.release.serving import bento, served_model

assets = [best_model, promotion_decision, production_model, champion_change, bento, served_model]
