"The report and the served explorer in a real browser: a gene is picked and its audiogram changes, nothing leaves the page, the keyboard reaches every control, text can be read."
import csv, subprocess, sys, urllib.error, urllib.request
from pathlib import Path
import pytest
from browser import browser, opened # noqa: F401 (browser is a fixture)
from impc_phenotypes.show.serve import HOST, free_port
from impc_phenotypes.phenotypes.result import Phenotypes

COMMAND = Path(sys.executable).parent/'impc-phenotypes'
QUICK = ('training.pretrain_epochs=3', 'training.joint_epochs=3', 'model.line_model.calibration_lines=500')
CONTRAST = """() => {
  const part = v => { v /= 255; return v <= .04045 ? v/12.92 : ((v+.055)/1.055)**2.4 }, light = c => .2126*part(c[0])+.7152*part(c[1])+.0722*part(c[2]);
  const rgba = s => { const v = s.match(/[\\d.]+/g).map(Number); return v.length < 4 ? [...v, 1] : v };
  const ground = e => { for (; e; e = e.parentElement) { const c = rgba(getComputedStyle(e).backgroundColor); if (c[3] > .99) return c } return [255, 255, 255, 1] };
  const bad = [];
  for (const e of document.querySelectorAll('body *')) {
    const own = [...e.childNodes].filter(n => n.nodeType === 3).map(n => n.textContent).join('').trim(), s = getComputedStyle(e);
    if (!own || e.closest('svg, script, style, .modebar, [disabled]') || !e.getClientRects().length || s.visibility === 'hidden') continue;
    const c = rgba(s.color), g = ground(e), mix = [0, 1, 2].map(i => c[i]*c[3]+g[i]*(1-c[3])), l = [light(mix), light(g)].sort((a, b) => b-a), r = (l[0]+.05)/(l[1]+.05);
    if (r < 4.5) bad.push(`${own.slice(0, 30)}: ${r.toFixed(2)}`) }
  return bad }"""
FOCUSED = "(e => e.getAttribute('aria-label') || (e.labels && e.labels[0] ? e.labels[0].innerText.trim() : '') || e.innerText.trim() || e.title || e.id)(document.activeElement)"

@pytest.fixture(scope='module')
def run(tmp_path_factory):
    "A small run with calls and a report."
    home = tmp_path_factory.mktemp('browser')
    def command(*argv):
        done = subprocess.run([COMMAND, *map(str, argv)], cwd=home, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout.strip().splitlines()[-1]
    command('simulate', '--n', 2000, '--seed', 4, '--out', 'abr.csv')
    folder = command('train', 'abr.csv', '--seed', 1, *QUICK)
    command('evaluate', folder, '--bootstraps', 0, '--refits', 0)
    command('report', folder)
    return Path(folder)

@pytest.fixture(scope='module')
def genes(run):
    "Two genes with lines of three mice, the one with the larger loss first."
    l = Phenotypes.load(run).lines
    l = l[l.n_mice >= 3].assign(loss=lambda d: d[['offset_6kHz', 'offset_12kHz', 'offset_18kHz']].mean(axis=1)).sort_values('loss')
    return l.gene_symbol.iloc[-1], l.gene_symbol.iloc[0]

def drawn(page, at=0):
    "Numbers in a plotly figure of the page, as text."
    return page.evaluate("i => JSON.stringify([...document.querySelectorAll('.js-plotly-plot')].at(i).data.map(t => Array.from(t.y ?? [])))", at)

def walk(page, steps):
    "What Tab reaches from the top of the page."
    page.evaluate('document.activeElement.blur(); scrollTo(0, 0)')
    seen = []
    for _ in range(steps):
        page.keyboard.press('Tab')
        seen.append(page.evaluate(FOCUSED))
    return seen

def test_a_gene_is_looked_up_in_the_report(run, genes, browser):
    deaf, other = genes
    with opened(browser, (run/'report.html').as_uri()) as (page, problems):
        plot = page.locator('#gene-plot')
        plot.locator('.main-svg').first.wait_for()
        picture = lambda: page.evaluate("JSON.stringify(document.getElementById('gene-plot').data.map(t => t.y))")
        page.fill('#gene-name', deaf.lower()); page.press('#gene-name', 'Enter')
        first = picture()
        width = page.evaluate("document.getElementById('gene-plot')._fullLayout._size.w") # px left for the axes
        assert width > 300, 'the legend squeezes the audiogram'
        assert deaf in page.locator('#gene-plot .gtitle').text_content() and deaf in plot.get_attribute('aria-label')
        page.fill('#gene-name', other); page.get_by_role('button', name='Show').click()
        assert picture() != first and other in page.locator('#gene-plot .gtitle').text_content()
        assert page.locator('#gene-lines tbody tr').count() >= 1
        page.fill('#gene-name', other[:4]+'zzz'); page.press('#gene-name', 'Enter')
        assert 'No line of' in page.inner_text('#gene-told') and other[:4] in page.inner_text('#gene-told')
        assert page.locator('#gene-plot .main-svg').count() == 0 and page.locator('#gene-lines tbody tr').count() == 0, 'another gene must not stay on the screen'
        page.locator('#lines-table a').first.click()
        assert page.input_value('#gene-name') == page.locator('#lines-table a').first.inner_text() and '#gene=' in page.url
        assert not problems, problems

def test_tables_of_the_report_sort_filter_and_save(run, browser):
    with opened(browser, (run/'report.html').as_uri()) as (page, problems):
        rows = lambda: page.locator('#lines-table tbody tr:visible')
        gene, n = page.locator('#lines-table a').first.inner_text(), rows().count()
        page.locator('input[data-for="lines-table"]').fill(gene)
        assert 1 <= rows().count() < n
        with page.expect_download() as saved: page.locator('button[data-save="lines-table"]').click()
        table = list(csv.DictReader(open(saved.value.path(), encoding='utf-8')))
        assert len(table) == rows().count() and {r['gene'] for r in table} == {gene}
        page.locator('input[data-for="lines-table"]').fill('')
        head = page.locator('#lines-table th', has_text='6 kHz')
        head.click(); head.click()
        loss = [float(v) for v in page.locator('#lines-table tbody tr td:nth-child(4)').all_inner_texts() if v != '–']
        assert loss == sorted(loss, reverse=True) and head.get_attribute('aria-sort') == 'descending'
        page.get_by_role('button', name='Copy').click()
        assert 'Benjamini' in page.evaluate('getSelection().toString()')
        assert not problems, problems

def test_the_report_can_be_read_and_used_without_a_mouse(run, browser):
    with opened(browser, (run/'report.html').as_uri(), viewport=dict(width=1000, height=900)) as (page, problems):
        page.locator('#gene-plot .main-svg').first.wait_for()
        assert page.evaluate(CONTRAST) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), 'the page is wider than the window'
        seen = walk(page, 60)
        assert {'Question', 'Gene', 'Show'} <= set(seen) and any(o.startswith('Offsets of each mouse') for o in seen)
        assert page.locator('figure [role=img]:not([aria-label])').count() == 0
        assert page.locator('h1').count() == 1

@pytest.fixture(scope='module')
def served(run):
    "Address of a served explorer."
    pytest.importorskip('voila', reason="voila is not installed: pip install 'impc_phenotypes[app]'")
    port = free_port(0)
    server = subprocess.Popen([COMMAND, 'explore', run, '--no-browser', '--port', str(port)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        yield server.stdout.readline().strip()
        assert server.poll() is None, 'the server ended by itself'
        server.terminate()
        server.wait(60)
    finally: server.kill()

def explorer(browser, address, **kw): return opened(browser, address, timeout=90_000, viewport=dict(width=1100, height=1500), **kw)

def ready(page):
    page.wait_for_function("document.querySelectorAll('.js-plotly-plot .main-svg').length >= 2 && document.querySelectorAll('.js-plotly-plot')[0].data.some(t => t.y && t.y.length)")
    page.wait_for_timeout(1500)

def test_a_gene_is_picked_in_the_explorer(served, genes, browser):
    deaf, other = genes
    assert served.startswith(f'http://{HOST}:')
    with explorer(browser, served) as (page, problems):
        ready(page)
        named = lambda g, panel, **kw: page.wait_for_function("([g, i]) => (document.querySelectorAll('.js-plotly-plot')[0].layout.annotations[i].text).includes(`<b>${g}</b>`)", arg=[g, panel], **kw)
        box = page.get_by_label('Gene').first
        before = drawn(page)
        for _ in range(3): # on a busy machine the first word can be typed before the page has its kernel
            box.fill(''); box.fill(deaf); box.press('Enter')
            try: named(deaf, 0, timeout=15_000); break
            except Exception: continue
        named(deaf, 0)
        first = drawn(page)
        box.fill(other); box.press('Enter'); named(other, 0)
        page.wait_for_timeout(500)
        assert len({before, first, drawn(page)}) >= 2 and first != drawn(page)
        page.get_by_label('Compare with').fill(deaf); page.get_by_label('Compare with').press('Enter'); named(deaf, 1)
        box.fill(other+'x'); box.press('Enter')
        page.get_by_text('did you mean').wait_for()
        page.wait_for_function("document.querySelectorAll('.js-plotly-plot')[0].layout.annotations[0].text === ''")
        page.get_by_label('Phenotype').select_option(index=0)
        place = page.get_by_text('line 1 of'); place.wait_for()
        page.get_by_role('button', name='next line').click()
        page.get_by_text('line 2 of').wait_for()
        page.get_by_label('Selection').select_option('phenotype chosen')
        page.get_by_role('button', name='Prepare CSV').click()
        link = page.get_by_role('link', name='Save mice.csv'); link.wait_for()
        with page.expect_download() as saved: link.click()
        assert {r['phenotype'] for r in csv.DictReader(open(saved.value.path(), encoding='utf-8'))} == {'0'}
        assert not problems, problems

def test_mice_are_lassoed(served, browser):
    with explorer(browser, served) as (page, problems):
        ready(page)
        area = page.locator('.js-plotly-plot').nth(1).locator('.nsewdrag').first
        area.scroll_into_view_if_needed()
        at = area.bounding_box()
        corner = lambda x, y: page.mouse.move(at['x']+x*at['width'], at['y']+y*at['height'], steps=8)
        corner(.03, .03); page.mouse.down()
        for x, y in ((.97, .03), (.97, .97), (.03, .97), (.03, .03)): corner(x, y)
        page.mouse.up()
        page.get_by_text('(lasso on the map)').wait_for()
        assert 'mice selected' in page.get_by_text('(lasso on the map)').inner_text()
        assert not problems, problems

def test_the_explorer_can_be_read_and_used_without_a_mouse(served, browser):
    with explorer(browser, served) as (page, problems):
        ready(page)
        assert page.evaluate(CONTRAST) == []
        seen = ' '.join(walk(page, 30))
        for control in ('centre', 'sex', 'zygosity', 'Gene', 'Line', 'Compare with', 'Phenotype', 'next line', 'Selection', 'Prepare CSV'): assert control in seen, control

def test_the_explorer_wants_its_token_and_its_own_name(served):
    get = lambda url, **headers: urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60)
    assert '/login' in get(served.split('?')[0]).url and get(served).status == 200
    with pytest.raises(urllib.error.HTTPError) as refused: get(served, Host='evil.example')
    assert refused.value.code == 403

def test_explore_without_voila_names_the_remedy(run):
    "A plain installation has neither Voila nor nbformat."
    code = "import sys\nfor m in ('voila', 'nbformat', 'nbclient', 'nbconvert'): sys.modules[m] = None\nfrom impc_phenotypes.cli.main import main\nmain(['explore', sys.argv[1], '--no-browser'])"
    done = subprocess.run([sys.executable, '-c', code, run], capture_output=True, text=True)
    assert done.returncode == 2 and "impc_phenotypes[app]" in done.stderr and 'Traceback' not in done.stderr, done.stderr

def test_explore_needs_a_run(tmp_path):
    done = subprocess.run([COMMAND, 'explore', 'nothing', '--output-dir', tmp_path], capture_output=True, text=True)
    assert done.returncode == 2 and 'nothing' in done.stderr and 'Traceback' not in done.stderr
