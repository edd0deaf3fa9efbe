"""The words that invented objects are named with, some of them hard to handle on purpose."""

from random import Random

CAMPAIGNS = (
    "Spring sale",
    "Back to school",
    "Holiday gifts",
    "New arrivals",
    "Loyalty renewal",
    "Streaming trial",
    "Weekend getaways",
    "First-time buyers",
    "Lapsed subscribers",
    "High-value baskets",
)

AUDIENCES = (
    "lookalikes",
    "newsletter readers",
    "app installs",
    "store visitors",
    "cart abandoners",
    "Q3 prospects",
    "gold members",
)

# Accents, two scripts without Latin letters, right-to-left text, and characters beyond the BMP.
UNICODE_NAMES = (
    "Frühjahrsaktion München & Zürich",
    "Été à Paris – abonnés fidèles",  # noqa: RUF001 - the dash is meant
    "東京の新規顧客",
    "Летняя распродажа",
    "حملة الصيف",
    "Holiday 🎄 shoppers 🎁",
    'Quotes "and" <tags> \\ back/slashes',
)

DESCRIPTIONS = (
    "Seeded from the customer list of the last quarter.",
    "Weekly refresh for the media team.\nOwner: growth analytics.",
    "Test run; do not export.",
    "Für die Kampagne im Süden; enthält keine Kunden unter 18 Jahren.",
    "上位 5% の類似オーディエンス。",
    "Requested by the partner under the shared measurement agreement, see the project page.",
    "",
)

FAILURES = (
    ("SEED_TOO_SMALL", "The seed audience has fewer users than minMatchingSeedSize."),
    ("S3_ACCESS_DENIED", "The role cannot read the seed audience in Amazon S3."),
    ("INVALID_SEED_FORMAT", "Line 1 of the seed audience is not a JSON object with user_id."),
)


def audience_name(chance: Random) -> str:
    """Invent the name of an audience."""
    if chance.random() < 0.12:  # noqa: PLR2004 - about one name in eight
        return f"{chance.choice(UNICODE_NAMES)} {chance.randrange(1, 100)}"
    return f"{chance.choice(CAMPAIGNS)} {chance.choice(AUDIENCES)} {chance.randrange(1, 1000):03}"


def description(chance: Random) -> dict[str, str]:
    """Invent a description, or leave the member out."""
    return {"description": chance.choice(DESCRIPTIONS)} if chance.random() < 0.7 else {}  # noqa: PLR2004 - most have one


def failure(chance: Random) -> dict[str, dict[str, str]]:
    """Invent the details of a failure."""
    code, message = chance.choice(FAILURES)
    return {"statusDetails": {"statusCode": code, "message": message}}
