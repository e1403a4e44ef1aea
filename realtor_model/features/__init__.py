"""Turns listings into the model's feature matrix, in the same way for training, HTTP and batch."""

from realtor_model.features.encoder import FeatureEncoder
from realtor_model.features.encoder_state import EncoderTables
from realtor_model.features.feature_names import (
    FEATURE_GROUPS,
    FEATURE_NAMES,
    FEATURE_VERSION,
    READABLE_FEATURE_VERSIONS,
    FeatureSet,
    features_of,
    imputed_features,
)
from realtor_model.features.input_columns import columns_from_frame, take
from realtor_model.features.measures import MEASURES, is_land
from realtor_model.features.places import LEVELS, property_fold
from realtor_model.listing import (
    Columns,
    as_asked,
    as_sold,
    columns_from_properties,
    properties_from_columns,
)

__all__ = [
    "FEATURE_GROUPS",
    "FEATURE_NAMES",
    "FEATURE_VERSION",
    "LEVELS",
    "MEASURES",
    "READABLE_FEATURE_VERSIONS",
    "Columns",
    "EncoderTables",
    "FeatureEncoder",
    "FeatureSet",
    "as_asked",
    "as_sold",
    "columns_from_frame",
    "columns_from_properties",
    "features_of",
    "imputed_features",
    "is_land",
    "properties_from_columns",
    "property_fold",
    "take",
]
