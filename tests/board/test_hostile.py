"""Alerts come from strangers: hostile text, broken stamps, too many points, each with its look."""

import copy
import gzip
import struct

import pytest

from tests.board.conftest import eventually, screenshot

SCRIPT = "<img src=x onerror=alert(1)><script>alert(2)</script>"


@pytest.fixture
def alert(night_alerts):
    return copy.deepcopy(night_alerts[0])


@pytest.fixture
def shown(empty_board, pages):
    """Opens the page over one alert."""

    def show(alert, ready="article .title"):
        empty_board.fill([alert])
        return pages(empty_board.url, ready=ready)

    return show


def words(page):
    eventually(
        page, "![...document.querySelectorAll('.stamps .none')].some(n => n.textContent === '…')"
    )
    return page.eval_on_selector_all(
        ".stamps figure", "all => all.map(f => f.firstChild.textContent)"
    )


def test_hostile_text_is_text(alert, shown):
    alert["objectId"] = SCRIPT
    alert["anomaly"].update(
        nearest_class=SCRIPT, flags=[SCRIPT], class_distances={SCRIPT: 1.0}, input_topic=SCRIPT,
        model="\u202eevil\x00",
        top_inputs=[{"name": SCRIPT, "value": 1.0, "typical": 0.0, "z": 1.0}],
    )  # fmt: skip
    page = shown(alert, ready=".trust")
    assert page.inner_text(".title h2") == SCRIPT
    assert "\u202e" not in page.inner_text(".trust")
    assert page.locator("article img, article script, table img").count() == 0
    assert page.get_attribute(".links a", "href").startswith("https://alerce.online/object/%3Cimg")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    screenshot(page, "board-hostile")


def test_missing_stamps(alert, shown):
    alert.update(cutoutScience=None, cutoutTemplate=None)
    page = shown(alert, ready=".stamps canvas")
    assert words(page) == ["not in the alert", "not in the alert", ""]


def test_stamps_in_structs(alert, shown):
    for name in ("cutoutScience", "cutoutTemplate", "cutoutDifference"):
        alert[name] = {"fileName": SCRIPT, "stampData": alert[name]}
    assert words(shown(alert, ready=".stamps canvas")) == ["", "", ""]


def card(text):
    return text.ljust(80).encode()


def fits(*cards, data=b""):
    header = b"".join(card(c) for c in ("SIMPLE  =                    T", *cards, "END"))
    return gzip.compress(header.ljust(2880) + data)


def test_a_fine_image_keeps_its_greys(alert, shown):
    size = ("BITPIX  = -64", "NAXIS1  = 20 / columns", "NAXIS2  = 20")
    alert["cutoutScience"] = fits(*size, data=struct.pack(">400d", *range(400)))
    page = shown(alert, ready=".stamps canvas")
    first, last, levels = page.evaluate(
        "(() => { const c = document.querySelector('.stamps canvas');"
        "const d = c.getContext('2d').getImageData(0, 0, 20, 20).data;"
        "return [d[0], d[4 * 399], new Set(d).size]; })()"
    )
    assert levels > 50
    assert first > last  # the first FITS row, the faintest, is at the bottom


SMALL = ("BITPIX  =                  -32", "NAXIS1  = 4", "NAXIS2  = 4")


@pytest.mark.parametrize(
    ("stamp", "look"),
    [
        (lambda whole: whole[: len(whole) // 2], "unreadable"),
        (lambda _: b"no gzip at all", "unreadable"),
        (lambda _: gzip.compress(b"no FITS"), "not FITS"),
        (lambda _: gzip.compress(bytes(400_000_000), 1), "too large to show"),
        (lambda _: fits("BITPIX  = 7", "NAXIS1  = 4", "NAXIS2  = 4"), "not a 2-D FITS image"),
        (lambda _: fits(*SMALL, data=bytes(12)), "cut short"),
        (lambda _: fits(*SMALL, data=b"\x7f\xc0\x00\x00" * 16), "no finite pixel"),
        (
            lambda _: fits("BITPIX  = -32", "NAXIS1  = 99999", "NAXIS2  = 99999"),
            "not a 2-D FITS image",
        ),
        (lambda whole: whole + bytes(600_000), "too large to show"),
    ],
    ids=["half", "no-gzip", "no-fits", "bomb", "odd-bitpix", "short", "nan", "huge", "raw-size"],
)
def test_broken_stamps_say_what_is_wrong(alert, shown, pages, stamp, look):
    alert["cutoutScience"] = stamp(alert["cutoutScience"])
    page = shown(alert)
    assert words(page)[0] == look
    pages.errors[:] = [e for e in pages.errors if "404" not in e]  # the server's own refusal


def test_a_thousand_points(alert, shown):
    point = alert["prv_candidates"][0]
    alert["prv_candidates"] = [
        {**point, "jd": point["jd"] + n / 10, "candid": n, "magpsf": 17 + (n * 7 % 40) / 10}
        for n in range(1000)
    ]
    page = shown(alert, ready="svg.curve")
    assert page.locator("svg.curve .point").count() == 1000
    screenshot(page, "board-thousand-points")


def test_no_light_curve(alert, shown):
    alert.update(prv_candidates=None, prv_nondetections=None)
    assert "No light curve came" in shown(alert).inner_text("article")


def test_one_point(alert, shown):
    alert["prv_candidates"] = alert["prv_candidates"][-1:]
    page = shown(alert, ready="svg.curve")
    assert page.locator("svg.curve .point").count() == 1


def test_numbers_that_are_none(alert, shown):
    alert["anomaly"].update(
        p=None, percentile=None, p_provisional=0.004, score=float("inf"), n_cal=0,
        class_distances={"a": float("nan"), "b": 1.0}, top_inputs=[], neighbours=[], emissions=[],
    )  # fmt: skip
    page = shown(alert, ready=".trust")
    assert "no calibration yet" in page.inner_text(".lead")
    assert "none for this survey" in page.inner_text(".trust")
