#!/usr/bin/env python3
"""Stage every notebook as the website's build does (it runs imports and `show_doc`) and turn it into plain HTML: a look at the pages without Quarto."""
import argparse, json, os, sys, warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

def stage(names, out):
    "Pages written below `out`, and `{notebook: error}` for those that failed."
    import nbformat
    from nbconvert import HTMLExporter
    from nbdev.processors import FilterDefaults
    from nbdev.serve_drv import exec_nb
    sys.path.insert(0, str(ROOT))
    os.environ['IN_TEST'] = '1'
    failed = {}
    for n in names:
        to = out/n
        to.parent.mkdir(parents=True, exist_ok=True)
        try:
            exec_nb(ROOT/'nbs'/n, to, FilterDefaults)
            page, _ = HTMLExporter(theme='light').from_notebook_node(nbformat.read(to, 4))
            to.with_suffix('.html').write_text(page.replace('.ipynb"', '.html"'), encoding='utf-8')
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
    failed = stage(a.notebooks or notebooks(), a.out.resolve())
    (a.out/'failed.json').write_text(json.dumps(failed, indent=1), encoding='utf-8')
    for k,v in failed.items(): print(f'{k}: {v}', file=sys.stderr)
    sys.exit(bool(failed))
