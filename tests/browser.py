"""A headless Chromium of this machine for the tests of pages, the report and the explorer. No browser is ever downloaded.

In a test: `from browser import browser, opened`, take the fixture `browser`, and

    with opened(browser, url) as (page, problems):
        page.get_by_text('Lines').click()
        assert not problems

`page` is playwright's (sync API). `problems` fills while the page lives: errors on the console, exceptions of the
page, failed loads, and requests that leave the page. A file may ask only for files, a served page only for its own
origin.
"""
import shutil
from contextlib import contextmanager
from urllib.parse import urlsplit
import pytest

NAMES = 'chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'
INSIDE = 'data:', 'blob:', 'about:'

def executable():
    "Path of an installed Chromium or Chrome, or None."
    return next(filter(None, map(shutil.which, NAMES)), None)

@contextmanager
def launched():
    "A running headless browser; skips the test, with a reason, where there is none."
    api = pytest.importorskip('playwright.sync_api',
        reason='playwright is not installed: pip install playwright (no browser download needed)')
    path = executable() or pytest.skip(
        f'no Chromium on this machine (looked for {", ".join(NAMES)}): on Debian, apt-get install chromium')
    with api.sync_playwright() as p:
        chromium = p.chromium.launch(executable_path=path, args=['--no-sandbox', '--disable-dev-shm-usage'])
        try: yield chromium
        finally: chromium.close()

@pytest.fixture(scope='module')
def browser():
    "One browser a test file. While it runs its thread has an event loop: asyncio tests belong in other files."
    with launched() as b: yield b

def origin_of(url):
    o = urlsplit(url)
    return f'{o.scheme}://{o.netloc}'

def leaves(url, origin):
    """Whether a request goes anywhere but to the page's own origin (`file://`, or `http://127.0.0.1:8866` and its web
    socket)."""
    return not url.startswith(INSIDE) and origin_of(url) not in {origin, origin.replace('http', 'ws', 1)}

@contextmanager
def opened(browser, url, *, origin=None, wait='load', timeout=30_000, **context):
    """`(page, problems)` of a fresh page at `url`; `origin` is where it may ask for things, by default where it lies.
    `context`: viewport, color_scheme …"""
    origin, problems = origin or origin_of(url), []
    room = browser.new_context(**context)
    room.set_default_timeout(timeout)
    page = room.new_page()
    page.on('console', lambda m: m.type == 'error' and problems.append(f'console: {m.text}'))
    page.on('pageerror', lambda e: problems.append(f'page error: {e}'))
    page.on('request', lambda r: leaves(r.url, origin) and problems.append(f'outside request: {r.url[:200]}'))
    page.on('websocket', lambda w: leaves(w.url, origin) and problems.append(f'outside socket: {w.url[:200]}'))
    try:
        page.goto(url, wait_until=wait)
        yield page, problems
    finally: room.close()
