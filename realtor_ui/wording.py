"""What the app calls things, and how it writes figures."""

from datetime import UTC, datetime

LABELS = {
    "house_size": "Living area",
    "bed": "Bedrooms",
    "bath": "Bathrooms",
    "acre_lot": "Lot size",
    "state": "State",
    "city": "City",
    "zip_code": "Zip code",
    "status": "Listing status",
    "brokered_by": "Broker",
    "street": "Street",
    "prev_sold_date": "Last sale",
}
STATUSES = {"for_sale": "For sale", "sold": "Sold", "ready_to_build": "Ready to build"}
CANDIDATES = {
    "linear_regression": "linear regression",
    "random_forest": "random forest",
    "gradient_boosting": "gradient boosting",
    "xgboost": "XGBoost",
}
CONFIDENCE = {
    "high": ("High confidence", "green"),
    "medium": ("Medium confidence", "orange"),
    "low": ("Low confidence", "red"),
}
STATES = (
    "Alabama", "Alaska", "Arizona", "Arkansas", "California", "Colorado", "Connecticut", "Delaware",
    "District of Columbia", "Florida", "Georgia", "Guam", "Hawaii", "Idaho", "Illinois", "Indiana",
    "Iowa", "Kansas", "Kentucky", "Louisiana", "Maine", "Maryland", "Massachusetts", "Michigan",
    "Minnesota", "Mississippi", "Missouri", "Montana", "Nebraska", "Nevada", "New Hampshire",
    "New Jersey", "New Mexico", "New York", "North Carolina", "North Dakota", "Ohio", "Oklahoma",
    "Oregon", "Pennsylvania", "Puerto Rico", "Rhode Island", "South Carolina", "South Dakota",
    "Tennessee", "Texas", "Utah", "Vermont", "Virgin Islands", "Virginia", "Washington",
    "West Virginia", "Wisconsin", "Wyoming",
)  # fmt: skip


def dollars(amount: float) -> str:
    """$295,218"""
    return f"${amount:,.0f}"


def signed_dollars(amount: float) -> str:
    """+$1,200 or -$1,200"""
    return f"{'+' if amount >= 0 else '-'}{dollars(abs(amount))}"


def entered(name: str, value: str | float | int | None) -> str:
    """The value of an input as a person would write it; "not given" for none."""
    if value is None:
        return "not given"
    match name:
        case "house_size":
            return f"{value:,.0f} sq ft"
        case "acre_lot":
            return f"{value:,g} acres"
        case "bed" | "bath":
            return f"{value:,.0f}"
        case "status":
            return STATUSES.get(str(value), str(value))
        case _:
            return str(value)


def age(since: datetime, now: datetime | None = None) -> str:
    """How long ago: "today", "yesterday", "12 days ago", "5 months ago"."""
    days = ((now or datetime.now(UTC)) - since).days
    if days < 1:
        return "today"
    if days == 1:
        return "yesterday"
    return f"{days} days ago" if days < 90 else f"{days // 30} months ago"
