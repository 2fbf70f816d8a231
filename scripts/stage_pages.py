#!/usr/bin/env python3
"""Stage every notebook as the website's build does (it runs imports and `show_doc`) and turn it into plain HTML: a
look at the pages without Quarto. The pages stand by themselves: no script, no style and no font comes from
elsewhere. Links between notebooks, and those nbdev makes to the published site, lead to the staged pages;
headings have the ids the website gives them."""
import argparse, json, os, re, shutil, sys, warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CALLOUT = r'^:::+ *\{\.callout-(\w+)[^}]*\}\n(.*?)\n:::+ *$'
STYLE = ('<style>.callout {border-left: 4px solid #0b5394; padding: .1rem 1rem; margin: 1rem 0} img {max-width: '
    '100%}</style>')

def slug(heading):
    """Id of a heading on the website (pandoc's rule): Markdown and punctuation go, spaces become hyphens, what stands
    before the first letter goes."""
    text = re.sub(r'\]\([^)]*\)|<[^>]+>|[`*]', '', heading).lower()
    text = re.sub(r'\s+', '-', re.sub(r'[^\w\s.-]', '', text).strip())
    return re.sub(r'^[\W\d_]+', '', text) or 'section'

def address(n, lib='impc_phenotypes'):
    "Where the published site has notebook `n`: nbdev drops the number of its name."
    folder, _, file = n.rpartition('/')
    return f'{folder}/{re.sub(r"^[0-9]+[a-z]?_", "", file)}'.lstrip('/').replace('.ipynb', '.html')

def readable(nb):
    """The staged notebook with its front matter as a heading, callouts as boxes, and no cell that the website does not
    show."""
    import nbformat, yaml
    cells = []
    for c in nb.cells:
        c.pop('has_sd', None)
        if c.cell_type == 'raw':
            front = yaml.safe_load(c.source.strip().strip('-')) or {}
            c = nbformat.v4.new_markdown_cell(f"# {front.get('title', '')}\n\n> {front.get('description', '')}")
        elif c.cell_type == 'code':
            if re.search(r'^#\| *echo: *false', c.source, re.M): c.metadata['transient'] = dict(remove_source=True)
            c.source = re.sub(r'^#\|.*\n?', '', c.source, flags=re.M)
        for o in [c, *(o.data for o in c.get('outputs', []) if 'data' in o)]:
            k = 'source' if o is c else 'text/markdown'
            if k not in o or c.cell_type == 'code' and o is c: continue
            text = re.sub(r'(\]\([^)]+\))\{[^}]*\}', r'\1', ''.join(o[k]))
            o[k] = re.sub(CALLOUT, lambda m: f'<div class="callout">\n\n**{m[1].capitalize()}.** {m[2]}\n\n</div>',
                text, flags=re.M|re.S)
        cells.append(c)
    nb.cells, nb.metadata = cells, nbformat.from_dict(dict(language_info=dict(name='python')))
    return nb

def page(nb, n, local, site):
    "HTML of a staged notebook; `local` is `{address on the site: page}`."
    from bs4 import BeautifulSoup
    from nbconvert import HTMLExporter
    html, _ = HTMLExporter(theme='light', exclude_anchor_links=True).from_notebook_node(readable(nb),
        dict(metadata=dict(name=n)))
    soup, up = BeautifulSoup(html, 'html.parser'), '../'*n.count('/')
    for o in soup.find_all('script'): o.decompose()
    ids = {}
    for o in soup.find_all(re.compile('^h[1-6]$')):
        k = slug(o.get_text())
        o['id'], ids[k] = f'{k}-{ids[k]}' if k in ids else k, ids.get(k, 0)+1
    for o in soup.find_all('a', href=True):
        to, sharp, part = o['href'].partition('#')
        if to.startswith(site): to = up+local.get(to.removeprefix(site).lstrip('/'), to)
        elif '://' not in to: to = re.sub(r'\.ipynb$', '.html', to)
        o['href'] = to+sharp+part
    soup.head.append(BeautifulSoup(STYLE, 'html.parser'))
    return str(soup)

def stage(names, out):
    "Pages written below `out`, and `{notebook: error}` for those that failed."
    import nbformat
    from nbdev.config import get_config
    from nbdev.processors import FilterDefaults
    from nbdev.serve_drv import exec_nb
    sys.path.insert(0, str(ROOT))
    os.environ['IN_TEST'] = '1'
    config = get_config()
    site = config.doc_host+config.doc_baseurl
    from make_sidebar import notebooks
    local, failed = {address(n):n.replace('.ipynb', '.html') for n in notebooks()}, {}
    shutil.copytree(ROOT/'nbs'/'images', out/'images', dirs_exist_ok=True)
    for n in names:
        to = out/n
        to.parent.mkdir(parents=True, exist_ok=True)
        try:
            exec_nb(ROOT/'nbs'/n, to, FilterDefaults)
            to.with_suffix('.html').write_text(page(nbformat.read(to, 4), n, local, site), encoding='utf-8')
        except Exception as e: failed[n] = f'{e}; cause: {e.__cause__!r}'
    return failed

if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('out', type=Path)
    p.add_argument('notebooks', nargs='*', help='paths relative to nbs/; all of them without')
    a = p.parse_args()
    warnings.filterwarnings('ignore')
    from make_sidebar import notebooks
    os.chdir(ROOT)
    a.out.mkdir(parents=True, exist_ok=True)
    failed = stage(a.notebooks or notebooks(), a.out.resolve())
    (a.out/'failed.json').write_text(json.dumps(failed, indent=1), encoding='utf-8')
    for k,v in failed.items(): print(f'{k}: {v}', file=sys.stderr)
    sys.exit(bool(failed))
