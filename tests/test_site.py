"Every entry of the website's menus and every relative link of a notebook leads somewhere."
import json, re, subprocess, sys
import pytest, yaml
import make_sidebar
from repo import ROOT, cells, named, notebooks, source

NBS = ROOT/'nbs'
CONFIG = yaml.safe_load((ROOT/'_quarto.yml').read_text(encoding='utf-8'))

def entries(node):
    "Every page a menu names, as `href` or as a bare string in `contents`."
    if isinstance(node, str): yield node
    elif isinstance(node, list):
        for o in node: yield from entries(o)
    elif isinstance(node, dict):
        for k,v in node.items():
            if k == 'href': yield v
            elif k in ('contents', 'left', 'right', 'tools', 'menu', 'sidebar', 'navbar'): yield from entries(v)

def links(text):
    "Targets of Markdown and HTML links, code left out."
    text = re.sub(r'```.*?```|`[^`\n]*`', '', text, flags=re.S)
    return re.findall(r'\]\(([^)\s]+)(?:\s+"[^"]*")?\)', text) + re.findall(r'(?:href|src)="([^"]+)"', text)

def broken(path, text):
    "Relative links of a notebook or page at `path` that lead nowhere."
    local = [l for l in links(text) if not re.match(r'[a-z]+:|#|//', l)]
    return [l for l in local if l.split('#')[0].startswith('/') or not (path.parent/l.split('#')[0]).exists()]

def test_the_file_nbdev_reads_is_ours(): assert (NBS/'_quarto.yml').resolve() == ROOT/'_quarto.yml'

def test_menus_lead_somewhere():
    pages = [e for e in entries(dict(navbar=CONFIG['website']['navbar'], sidebar=CONFIG['website']['sidebar'])) if not e.startswith('http')]
    assert pages and not [p for p in pages if not (NBS/p).exists()]

def test_every_notebook_is_in_the_sidebar():
    listed = list(entries(CONFIG['website']['sidebar']))
    assert sorted(listed) == sorted(map(named, notebooks())), 'run `make sidebar`'

def test_the_sidebar_is_in_step(): assert make_sidebar.updated() == (ROOT/'_quarto.yml').read_text(encoding='utf-8'), 'run `make sidebar`'

def test_named_files_exist():
    style = CONFIG['format']['html'].get('css')
    assert not style or (NBS/style).exists()
    assert set(CONFIG['metadata-files']) == {'nbdev.yml'}, 'nbdev writes nbdev.yml only: settings.ini has custom_sidebar'

@pytest.mark.parametrize('path', notebooks(), ids=named)
def test_links_of_a_notebook(path):
    assert not broken(path, '\n\n'.join(source(c) for c in cells(path) if c['cell_type'] == 'markdown'))

def test_links_of_the_readme(): assert not broken(ROOT/'README.md', (ROOT/'README.md').read_text(encoding='utf-8'))

def test_a_broken_link_is_noticed():
    assert broken(NBS/'index.ipynb', 'see [this](data/99_nowhere.ipynb)') == ['data/99_nowhere.ipynb']
    assert not broken(NBS/'index.ipynb', '[out](https://example.org) [here](#a) [there](data/10_schema.ipynb#columns) `[x](y)`')

@pytest.fixture(scope='session')
def pages(tmp_path_factory):
    "Every notebook staged for the website and turned into HTML; what failed."
    out = tmp_path_factory.mktemp('pages')
    done = subprocess.run([sys.executable, 'scripts/stage_pages.py', out], cwd=ROOT, capture_output=True, text=True)
    if not (out/'failed.json').exists(): pytest.fail(done.stderr[-2000:])
    return out, json.loads((out/'failed.json').read_text(encoding='utf-8'))

@pytest.mark.parametrize('path', notebooks(), ids=named)
def test_the_page_can_be_built(path, pages):
    out, failed = pages
    assert named(path) not in failed, failed[named(path)]
    assert (out/named(path)).with_suffix('.html').stat().st_size > 1000
