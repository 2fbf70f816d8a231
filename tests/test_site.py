"""The website without Quarto: menus, links and pictures lead somewhere, every page can be built and read, colours have
contrast, Chromium opens three pages."""
import ast, json, re, subprocess, sys
from functools import cache
from urllib.parse import unquote
import pytest, yaml
from bs4 import BeautifulSoup
import make_sidebar
from browser import browser, leaves, opened # noqa: F401 (browser is a fixture)
from repo import ROOT, cells, flag, named, notebooks, source
from stage_pages import address, slug

NBS = ROOT/'nbs'
CONFIG = yaml.safe_load((ROOT/'_quarto.yml').read_text(encoding='utf-8'))
SITE, HTML = CONFIG['website'], CONFIG['format']['html']
EXPORTS = [p for p in notebooks() if any(flag(c, 'export', 'exports') for c in cells(p) if c['cell_type'] == 'code')]

# Menus and links of the sources

def entries(node):
    "Every page a menu names, as `href` or as a bare string in `contents`."
    if isinstance(node, str): yield node
    elif isinstance(node, list):
        for o in node: yield from entries(o)
    elif isinstance(node, dict):
        for k,v in node.items():
            if k == 'href': yield v
            elif k in ('contents', 'left', 'right', 'tools', 'menu', 'sidebar', 'navbar', 'footer'):
                yield from entries(v)

def links(text):
    "Targets of Markdown and HTML links, code left out."
    text = re.sub(r'```.*?```|`[^`\n]*`', '', text, flags=re.S)
    return re.findall(r'\]\(([^)\s]+)(?:\s+"[^"]*")?\)', text) + re.findall(r'(?:href|src)="([^"]+)"', text)

def broken(path, text):
    "Relative links of a notebook or page at `path` that lead nowhere."
    local = [l for l in links(text) if not re.match(r'[a-z]+:|#|//', l)]
    return [l for l in local if l.split('#')[0].startswith('/') or not (path.parent/l.split('#')[0]).exists()]

def prose(path): return '\n\n'.join(source(c) for c in cells(path) if c['cell_type'] == 'markdown')

def test_the_file_nbdev_reads_is_ours(): assert (NBS/'_quarto.yml').resolve() == ROOT/'_quarto.yml'

def test_menus_lead_somewhere():
    pages = list(entries(dict(navbar=SITE['navbar'], sidebar=SITE['sidebar'], footer=SITE['page-footer']['right'])))
    assert len(pages) > 10 and not [p for p in pages if not p.startswith('https://') and not (NBS/p).exists()]
    ours = [p.split('/blob/main/')[1] for p in pages if '/blob/main/' in p]
    assert ours and not [p for p in ours if not (ROOT/p).exists()]

def test_the_menu_names_what_a_reader_looks_for():
    assert {'Tutorials', 'Explanations', 'Benchmark', 'API',
        'Changelog'} == {o['text'] for o in SITE['navbar']['left']}
    assert SITE['navbar']['search'] and set(HTML['theme']) == {'light', 'dark'}

def test_every_notebook_is_in_the_sidebar():
    listed = list(entries(SITE['sidebar']))
    assert sorted(listed) == sorted(map(named, notebooks())), 'run `make sidebar`'

def test_the_sidebar_is_in_step():
    assert make_sidebar.updated() == (ROOT/'_quarto.yml').read_text(encoding='utf-8'), 'run `make sidebar`'

def test_named_files_exist():
    files = [HTML['css'], SITE['favicon'], SITE['image'].lstrip('/'),
        *(o for k in HTML['theme'].values() for o in k if o.endswith('.scss'))]
    assert not [f for f in files if not (NBS/f).exists()]
    assert set(CONFIG['metadata-files']) == {
        'nbdev.yml'}, 'nbdev writes nbdev.yml only: settings.ini has custom_sidebar'

def test_the_social_card_is_what_networks_take():
    card = (NBS/SITE['image'].lstrip('/')).read_bytes()
    assert card[:4] == b'\x89PNG' and len(card) < 120_000
    assert (int.from_bytes(card[16:20], 'big'), int.from_bytes(card[20:24], 'big')) == (1200, 630)
    assert SITE['image-alt'] and SITE['open-graph'] and SITE['twitter-card']['card-style'] == 'summary_large_image'

@pytest.mark.parametrize('path', notebooks(), ids=named)
def test_links_of_a_notebook(path):
    assert not broken(path, prose(path))
    assert not re.search(r'!\[\s*\]\(', prose(path)), 'a picture without a text alternative'

def test_links_of_the_readme(): assert not broken(ROOT/'README.md', (ROOT/'README.md').read_text(encoding='utf-8'))

def test_a_broken_link_is_noticed():
    assert broken(NBS/'index.ipynb', 'see [this](data/99_nowhere.ipynb)') == ['data/99_nowhere.ipynb']
    assert not broken(NBS/'index.ipynb',
        '[out](https://example.org) [here](#a) [there](data/10_schema.ipynb#columns) `[x](y)`')

# Colours

def colours(theme):
    return dict(re.findall(r'^\$([\w-]+): (#[0-9a-f]{6})', (NBS/theme).read_text(encoding='utf-8'), re.M))

def contrast(a, b):
    "Contrast of two colours, 1 to 21 (WCAG 2.2)."
    def light(c):
        c = [int(c[i:i+2], 16)/255 for i in (1, 3, 5)]
        return sum(w*(x/12.92 if x <= .04045 else ((x+.055)/1.055)**2.4) for w,x in zip((.2126, .7152, .0722), c))
    low, high = sorted((light(a), light(b)))
    return (high+.05)/(low+.05)

@pytest.mark.parametrize('mode', ['light', 'dark'])
def test_text_can_be_read_in(mode):
    c = colours(HTML['theme'][mode][1])
    for ink, ground in [('body-color', 'body-bg'), ('link-color', 'body-bg'), ('link-color', 'code-bg'),
            ('code-color', 'code-bg'), ('text-muted', 'body-bg'), ('body-color', 'code-block-bg')]:
        assert contrast(c[ink], c[ground]) >= 4.5, f'{ink} on {ground}'
    assert contrast(SITE['navbar']['foreground'], SITE['navbar']['background']) >= 4.5

def test_contrast_is_the_known_one():
    assert round(contrast('#ffffff', '#000000'), 1) == 21 and round(contrast('#777777', '#ffffff'), 2) == 4.48

# Pages

@pytest.fixture(scope='session')
def pages(tmp_path_factory):
    "Every notebook staged for the website and turned into HTML; what failed."
    out = tmp_path_factory.mktemp('pages')
    done = subprocess.run([sys.executable, 'scripts/stage_pages.py', out], cwd=ROOT, capture_output=True, text=True)
    if not (out/'failed.json').exists(): pytest.fail(done.stderr[-2000:])
    return out, json.loads((out/'failed.json').read_text(encoding='utf-8'))

@cache
def read(file):
    "Ids, links and pictures of a page, and what it loads."
    page = BeautifulSoup(file.read_text(encoding='utf-8'), 'html.parser')
    targets = [o.get('href') or o.get('src') or '' for o in page.find_all(['a', 'img'])]
    return {o['id'] for o in page.find_all(id=True)}, [t for t in targets if not t.startswith('data:')], [o.name
        for o in page.find_all(['script', 'link', 'iframe'])]

def lost(file):
    """Links and pictures of a page that lead nowhere. nbdev links private names of a module too, which have no place
    on its page."""
    for to, _, part in (t.partition('#') for t in read(file)[1]):
        if re.match(r'[a-z]+:|//', to): continue
        target = (file.parent/unquote(to)).resolve() if to else file
        if not target.exists() or part and part[0] != '_' and target.suffix == '.html' and unquote(part) not in read(
                target)[0]:
            yield f'{to}#{part}'

@pytest.mark.parametrize('path', notebooks(), ids=named)
def test_the_page_can_be_built(path, pages):
    out, failed = pages
    assert named(path) not in failed, failed[named(path)]
    assert (out/named(path)).with_suffix('.html').stat().st_size > 1000

@pytest.mark.parametrize('path', notebooks(), ids=named)
def test_links_of_a_page(path, pages):
    file = (pages[0]/named(path)).with_suffix('.html')
    assert not list(lost(file))
    assert not read(file)[2], 'a page to look at brings all it needs'

@pytest.mark.parametrize('heading,want',
    [('Two looks at one mouse', 'two-looks-at-one-mouse'), ('Is my gene a hearing gene?', 'is-my-gene-a-hearing-gene'),
    ('`LineCalls.check`', 'linecalls.check'),
    ('3 D, *really*', 'd-really'), ('[Why](x.ipynb) not', 'why-not'), ('2026', 'section')])
def test_ids_are_pandocs(heading, want): assert slug(heading) == want

@pytest.mark.parametrize('notebook,want',
    [('data/10_schema.ipynb', 'data/schema.html'), ('index.ipynb', 'index.html')])
def test_addresses_are_nbdevs(notebook, want): assert address(notebook) == want

# The API

def api(path):
    """Public functions and classes a notebook exports, with the comments on a function's parameters (`**more` aside:
    fastcore drops its comment)."""
    for c in cells(path):
        if c['cell_type'] != 'code' or not flag(c, 'export', 'exports') or flag(c, 'hide'): continue
        text = source(c)
        for n in ast.parse(text).body:
            if not isinstance(n, (ast.FunctionDef, ast.ClassDef)) or n.name.startswith('_') or n.decorator_list:
                continue
            signature = '\n'.join(text.splitlines()[n.lineno-1:n.body[0].lineno-1]) if isinstance(n,
                ast.FunctionDef) else ''
            yield n.name, re.findall(r'^(?:def \w+\()?\s*\w+:[^#\n]*# (.+)', signature, re.M)

def plain(text): return re.sub(r'\W+', ' ', re.sub(r'\[([^\]]*)\]\([^)]*\)', r'\1', text))

@pytest.mark.parametrize('path', EXPORTS, ids=named)
def test_the_api_is_shown(path, pages):
    outputs = [o for c in cells(pages[0]/named(path)) if 'show_doc(' in source(c) for o in c.get('outputs', [])]
    shown = '\n\n'.join(''.join(o.get('data', {}).get('text/markdown', '')) for o in outputs)
    errors = [''.join(o['text']) for o in outputs if o['output_type'] == 'stream']
    assert not errors, f'show_doc failed: {errors[0][-300:]}'
    names = dict(api(path))
    assert not set(names)-set(re.findall(r'^### (\S+)', shown, re.M))
    assert not [(n, c) for n,comments in names.items() for c in comments if plain(c).strip() not in plain(shown)]

@pytest.mark.parametrize('path', EXPORTS, ids=named)
def test_the_api_page_lists_it(path):
    listed = ''.join(''.join(o['data'].get('text/markdown', '')) for c in cells(NBS/'api.ipynb')
        for o in c.get('outputs', []) if 'data' in o)
    purpose = re.search(r'^> (.+)', prose(path), re.M)[1]
    again = ('run nbs/api.ipynb again: cd nbs && jupyter nbconvert --to notebook --execute --inplace api.ipynb && '
        'nbdev_clean --fname api.ipynb')
    assert f']({named(path)}) | {purpose} |' in listed, again
    assert not [n for n,_ in api(path) if f'[{n}]({named(path)}#{n.lower()})' not in listed], again

# In a browser

@pytest.mark.parametrize('name,link',
    [('index', 'a[href="tutorials/10_from_table_to_phenotypes.html"]'),
    ('tutorials/10_from_table_to_phenotypes', 'a[href$="phenotypes/20_discover.html#discover"]'),
    ('calls/12_reference_range', 'a[href$=".html"]:not([href^=http])')])
def test_chromium_opens(name, link, pages, browser):
    file = pages[0]/f'{name}.html'
    with opened(browser, file.as_uri()) as (page, problems):
        title = page.locator('h1').first
        assert title.is_visible() and title.inner_text()
        sizes = page.eval_on_selector_all('img', 'all => all.map(o => [o.naturalWidth, o.naturalHeight, o.alt])')
        assert sizes and all(w and h and alt for w,h,alt in sizes)
        page.locator(link).first.click()
        page.wait_for_load_state()
        assert page.url != file.as_uri() and page.locator('h1').first.is_visible()
        assert not problems

def test_what_goes_wrong_in_a_page_is_noticed(tmp_path, browser):
    bad = tmp_path/'bad.html'
    bad.write_text(
        '<h1>x</h1><img src="http://localhost:1/a.png"><script>console.error("oh"); throw Error("no")</script>',
        encoding='utf-8')
    with opened(browser, bad.as_uri()) as (page, problems): page.wait_for_timeout(200)
    assert {p.split(':')[0] for p in problems} == {'console', 'page error', 'outside request'}

@pytest.mark.parametrize('url,origin,out',
    [('file:///a.png', 'file://', False), ('data:x', 'file://', False), ('https://cdn.example/x.js', 'file://', True),
    ('http://127.0.0.1:1/a', 'http://127.0.0.1:1', False),
    ('ws://127.0.0.1:1/api', 'http://127.0.0.1:1', False), ('http://127.0.0.1:2/a', 'http://127.0.0.1:1', True),
        ('file:///etc/hosts', 'http://127.0.0.1:1', True), ('blob:http://127.0.0.1:1/7', 'http://127.0.0.1:1', False)])
def test_a_request_to_elsewhere_is_told(url, origin, out): assert leaves(url, origin) == out
