"""The report stands alone, adds up, and lets nothing through that was not meant."""

import re
from datetime import UTC, datetime

import pytest

from realtor_ui import formatting, valuation_report
from realtor_ui.client import ServiceClient
from realtor_ui.sections import price_reasons
from realtor_ui.texts import LANGUAGES
from tests.serving.running import HOUSE, Server
from tests.ui.markets import market_texts

pytestmark = [pytest.mark.integration]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_report_stands_alone(service: Server, language: str) -> None:
    t = market_texts(language)
    home = HOUSE | {"city": "<script>alert(1)</script>"}
    with ServiceClient(service.url) as client:
        answer, sales = client.explain(home), client.comparables(home, count=3)
    page = valuation_report.to_html(
        t, answer, home, price_reasons.by_input(t, answer), sales, datetime.now(UTC)
    )

    assert formatting.money(t, answer.valuation.price) in page
    for sale in sales.comparables:
        assert formatting.money(t, sale.adjusted_price) in page
    assert f'lang="{language}"' in page
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert not re.search(r"(src|href|url\()", page), "nothing comes from elsewhere"


def test_reasons_by_feature_and_by_input_lead_to_the_same_price(service: Server) -> None:
    t = market_texts()
    with ServiceClient(service.url) as client:
        answer = client.explain(HOUSE)
    for steps in (price_reasons.by_input(t, answer, 99), price_reasons.by_feature(t, answer, 99)):
        total = answer.base_price + sum(step.dollars for step in steps)
        # Each reason below a dollar is left out.
        assert total == pytest.approx(answer.valuation.price, abs=60)
