"""The page in a browser: order, plot, stamps, words, keys, shared addresses."""

import pytest

from tests.board.conftest import Board, eventually, screenshot


def objects(page):
    return page.eval_on_selector_all("#rows tr", "rows => rows.map(r => r.dataset.object)")


@pytest.fixture(scope="session")
def sent_row(night_ranking):
    """The best row whose alert was emitted."""
    return next(row for row in night_ranking["rows"] if row["outcome"] == "emitted")


@pytest.fixture(scope="session")
def sent_alert(night_alerts, sent_row):
    return next(a for a in night_alerts if a["candid"] == sent_row["candid"])


@pytest.fixture
def address(board, sent_row):
    return f"{board.url}?object={sent_row['objectId']}"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_a_night_at_every_size(address, pages, width, scheme):
    page = pages(address, width=width, scheme=scheme, ready=".stamps canvas")
    eventually(page, "document.querySelectorAll('.stamps canvas').length === 3")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    theme = page.evaluate("document.documentElement.dataset.theme")
    assert theme == scheme
    screenshot(page, f"board-{width}-{scheme}")


def test_rows_are_in_the_order_of_the_ranking(board, pages, night_ranking):
    page = pages(board.url)
    assert objects(page) == [row["objectId"] for row in night_ranking["rows"]]
    assert page.inner_text("#status") == "live"
    assert f"scored {night_ranking['scored']}" in page.inner_text("#sums").replace("\n", " ")


def test_the_light_curve_shows_every_point(address, pages, sent_alert):
    page = pages(address, ready="svg.curve")
    points, limits = sent_alert["prv_candidates"], sent_alert["prv_nondetections"]
    for band in "gri":
        shown = page.locator(f'svg.curve .point[data-band="{band}"]').count()
        assert shown == sum(p["band"] == band for p in points)
    assert page.locator("svg.curve .limit").count() == len(limits)
    assert page.locator("svg.curve .ring").count() == 1
    heights = page.evaluate(
        "[...document.querySelectorAll('svg.curve g')].map(g => "
        "[g.querySelector('.point').getBBox().y, Number(g.querySelector('title').textContent"
        ".match(/= ([0-9.]+)/)[1])])"
    )
    brightest = min(heights, key=lambda pair: pair[1])
    assert brightest[0] == min(y for y, _ in heights)  # brighter is higher up


def test_the_axis_can_show_dates(address, pages):
    page = pages(address, ready="svg.curve")
    assert "days from this alert" in page.inner_html("svg.curve")
    page.click("text=show dates")
    page.wait_for_selector("svg.curve >> text=UTC date")
    assert "axis=date" in page.url


def test_stamps_have_many_grey_levels(address, pages):
    page = pages(address, ready=".stamps canvas")
    eventually(page, "document.querySelectorAll('.stamps canvas').length === 3")
    levels = page.evaluate(
        "[...document.querySelectorAll('.stamps canvas')].map(c => new Set("
        "c.getContext('2d').getImageData(0, 0, c.width, c.height).data).size)"
    )
    assert min(levels) > 5  # simulated stamps hold whole counts


def test_why_and_trust_say_what_the_alert_says(address, pages, sent_alert):
    page = pages(address, ready=".trust")
    anomaly = sent_alert["anomaly"]
    why, trust = page.inner_text(".why"), page.inner_text(".trust")
    nearest = why.split("nearest first.")[1].split()[0]
    assert nearest == min(anomaly["class_distances"], key=anomaly["class_distances"].get)
    assert all(item["name"] in why for item in anomaly["top_inputs"])
    assert str(anomaly["n_points"]) in trust
    assert f"{anomaly['input_topic']} {anomaly['input_partition']}" in trust


def test_links_leave_without_a_trace(address, pages, sent_row):
    page = pages(address, ready=".links a")
    links = page.eval_on_selector_all(
        ".links a", "all => all.map(a => [a.textContent, a.href, a.rel])"
    )
    found = {name: href for name, href, _ in links}
    assert all(rel == "noreferrer noopener" for *_, rel in links)
    assert found["ALeRCE"] == f"https://alerce.online/object/{sent_row['objectId']}"
    assert found["Fink"] == f"https://ztf.fink-portal.org/{sent_row['objectId']}"
    assert f"ra={sent_row['ra']}&decl={sent_row['dec']}" in found["TNS"]
    assert len(found) == 9


def test_nothing_is_asked_of_third_parties(address, pages, board):
    page = pages("about:blank", ready=None)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    page.wait_for_selector(".stamps canvas")
    assert all(url.startswith((board.url, "data:")) for url in asked)
    assert any("/cutout/" in url for url in asked)


def test_keys_move_star_and_hide(board, pages):
    page = pages(board.url)
    first, second, third, *_ = objects(page)
    page.focus("#rows tr")
    page.keyboard.press("ArrowDown")
    assert page.get_attribute('#rows tr[aria-current="true"]', "data-object") == second
    page.keyboard.press("s")
    assert "starred" in page.inner_text(f'#rows tr[data-object="{second}"]')
    page.keyboard.press("h")
    assert second not in objects(page)
    assert page.get_attribute('#rows tr[aria-current="true"]', "data-object") == third
    page.keyboard.press("k")
    assert page.get_attribute('#rows tr[aria-current="true"]', "data-object") == first
    page.keyboard.press("o")
    assert page.evaluate("document.activeElement.id") == "detail"


def test_an_address_carries_the_view(board, pages, night_ranking):
    page = pages(board.url)
    page.fill('[name="points"]', "12")
    page.fill('[name="mag"]', "19.5")
    page.click("#rows tr:last-child")
    other = pages(page.url)
    assert objects(other) == objects(page)
    assert set(objects(other)) == {
        row["objectId"]
        for row in night_ranking["rows"]
        if row["n_points"] >= 12 and row["magpsf"] <= 19.5
    }
    selected = '#rows tr[aria-current="true"]'
    assert other.get_attribute(selected, "data-object") == page.get_attribute(
        selected, "data-object"
    )
    assert other.input_value('[name="points"]') == "12"
    other.click("button[type=reset]")
    eventually(
        other, f"document.querySelectorAll('#rows tr').length === {len(night_ranking['rows'])}"
    )


def test_a_filter_that_nobody_passes_says_so(board, pages):
    page = pages(f"{board.url}?points=100000", ready="#empty:not([hidden])")
    assert page.inner_text("#empty") == "No object passes these filters."


def test_the_page_follows_the_night(empty_board, pages, night_alerts, night_ranking):
    page = pages(empty_board.url, ready="#empty:not([hidden])")
    assert "No alerts yet" in page.inner_text("#empty")
    screenshot(page, "board-empty")
    empty_board.fill(night_alerts)
    page.wait_for_selector("#rows tr")
    assert "not ranked yet" in page.inner_text("#sums")
    assert set(objects(page)) == {alert["objectId"] for alert in night_alerts}
    empty_board.fill([], night_ranking)
    page.wait_for_selector("text=false alarms expected")
    assert objects(page) == [row["objectId"] for row in night_ranking["rows"]]


def test_a_vote_appears_by_itself(board, pages, night_ranking):
    page = pages(board.url)
    name = night_ranking["rows"][1]["objectId"]
    board.state.read_vote(None, {"objectId": name, "user": "ann", "label": "artefact"})
    page.wait_for_selector(f'#rows tr.dismissed[data-object="{name}"] >> text=artefact 1')


def test_a_lost_server_is_said_and_found_again(board, pages, night_alerts, night_ranking):
    page = pages(board.url)
    board.stop()
    page.wait_for_selector("#status[data-state=lost]")
    assert page.inner_text("#status") == "connection lost, reconnecting"
    assert objects(page)  # what was there stays
    screenshot(page, "board-lost")
    pages.errors.clear()  # the browser reports the refused connection
    again = Board(board.port)
    again.fill(night_alerts, {**night_ranking, "rows": night_ranking["rows"][:2]})
    again.start()
    try:
        eventually(page, "document.querySelectorAll('#rows tr').length === 2")
        assert page.inner_text("#status") == "live"
    finally:
        page.close()
        pages.errors.clear()
        again.stop()


def test_a_broker_that_is_away_is_said(board, pages):
    board.state.report("kafka: no answer")
    page = pages(board.url, ready="#status[data-state=lost]")
    assert page.inner_text("#status") == "no news: kafka: no answer"


def test_an_old_night_is_not_live(board, pages, night_ranking):
    board.fill([], {**night_ranking, "final": True})
    page = pages(board.url, ready="#status[data-state=over]")
    assert page.inner_text("#status") == "the night is over"
