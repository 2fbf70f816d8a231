"Plots, their static twins and the report, on a small colony whose phenotypes are known."
import base64, dataclasses, json, re, subprocess, sys
from html.parser import HTMLParser
import numpy as np, pandas as pd, pytest
from impc_phenotypes.data.cohort import Cohort
from impc_phenotypes.data.controls import match_controls
from impc_phenotypes.core.errors import InputError
from impc_phenotypes.core.look import FONT, GREY, phenotype_style
from impc_phenotypes.procedures.abr import OFFSETS, THRESHOLDS
from impc_phenotypes.phenotypes.result import Phenotypes
from impc_phenotypes.show.gene_picker import gene_data
from impc_phenotypes.show.explore import Views, panel_title, reference_of
from impc_phenotypes.show.methods_text import found_words, methods_text, write_cards
from impc_phenotypes.show.plots import _is_control, certainty_table, main_group_of, reference_mice
from impc_phenotypes.show.report import CSS, doubts, write_report
from impc_phenotypes.show.static import save_figure, static

EVIL = '<script>alert(1)</script><img src=http://evil.example/x onerror=alert(2)>'
NAMES = ['normal', 'severe flat', 'high-frequency']

def colony(gene='Cdh23', control=120, line=(6, 5, 60)):
    rng = np.random.default_rng(0)
    genes = [None]*control + ['Myo7a']*line[0] + [gene]*line[1] + [f'Abc{i//4}' for i in range(line[2])]
    truth = np.array([0]*control + [1]*line[0] + [2]*line[1] + [0]*line[2])
    loss = np.array([[0]*6, [60]*6, [0,0,8,25,35,5]], float)[truth]
    dB = (5*np.round((np.array([40,30,28,36,50,40]) + loss + rng.normal(0, 6, (len(genes),6)))/5)).clip(0, 100)
    dB[:, 5] = np.where(np.arange(len(genes))%2, dB[:, 5], np.nan)
    frame = pd.DataFrame(dict(specimen_id=[f'm{i}' for i in range(len(genes))], phenotyping_center='JAX',
        gene_symbol=genes, zygosity='homozygote', sex=np.where(np.arange(len(genes))%2, 'male', 'female'),
        biological_sample_group=np.where(np.arange(len(genes))<control, 'control', 'experimental'))
        | dict(zip(THRESHOLDS, dB.T)))
    m = match_controls(Cohort(frame, notes=('one row repeated a specimen',)))
    member = np.full((len(m), 3), .05)
    member[np.arange(len(m)), truth] = .9
    e = np.arange(6)
    history = pd.DataFrame(dict(stage=['pretrain']*3+['joint']*3, epoch=[0,1,2]*2, train_total=1/(e+1),
        valid_total=1.2/(e+1), train_clustering=[np.nan]*3+[.3,.2,.1], active_units=3.))
    embedding = np.nan_to_num(m.offset)[:, :4].astype(np.float32)
    return Phenotypes.from_membership(m, member, NAMES, embedding=embedding, history=history,
        config=dict(preset='anchored'), info=dict(seed=1, notes=['a colony for a test']))

@pytest.fixture(scope='module')
def ph(): return colony()

def figures(ph):
    return dict(profiles=ph.plot_profiles(), map=ph.plot_map(), offset=ph.plot_map('offset'), sizes=ph.plot_sizes(),
        centres=ph.plot_centres(), loss=ph.plot_history(), monitor=ph.plot_history('monitor'),
                line=ph.plot_line('myo7a'), overview=ph.matched.cohort.plot_overview(),
                lines=ph.plot_map('line', genes=['Myo7a']), certainty=ph.plot_certainty())

def marks(ax): return len(ax.lines)+len(ax.collections)+len(ax.patches)

def test_plots_come_with_the_object():
    code = ("from impc_phenotypes.data.simulate import simulate_cohort; print(simulate_cohort(300, "
        "seed=1).plot_overview().layout.title.text)")
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.returncode == 0 and '300 mice' in done.stdout, done.stderr

def test_counts(ph):
    f = figures(ph)
    assert sum(len(t.x) for t in f['map'].data) == len(ph)
    assert f['sizes'].data[2].x[0] == 6 and f['sizes'].data[4].x[0] == 5
    assert np.shape(f['centres'].data[0].z) == (3, 1)
    assert len([t for t in f['profiles'].data if t.name == 'severe flat']) == 2
    assert len([t for t in f['loss'].data]) == 3 and len(f['monitor'].data) == 1
    assert len([t for t in f['line'].data if t.name in ('male', 'female') and 'lines' in t.mode]) == 6

def test_every_title_says_who_and_how_many(ph):
    for name, fig in figures(ph).items():
        said = re.sub('<[^>]+>', ' ', fig.layout.title.text)
        assert re.search(r'\d', said), name

def test_twin_draws_every_trace(ph):
    for name, fig in figures(ph).items():
        twin, panels = static(fig), {t.xaxis or 'x' for t in fig.data}
        bars = sum(bool(t.marker.showscale) for t in fig.data if t.type == 'scattergl') + sum(t.showscale is not False
            for t in fig.data if t.type == 'heatmap')
        assert len(twin.axes) == len(panels)+bars, name
        assert sum(map(marks, twin.axes)) >= len(fig.data), name

def test_a_phenotype_keeps_its_colour(ph):
    f, style = figures(ph), [phenotype_style(k) for k in range(3)]
    assert style[0]['color'] == GREY and len({s['color'] for s in style}) == 3
    for k, name in enumerate(NAMES):
        assert {t.line.color for t in f['profiles'].data if t.name == name
            and 'lines' in t.mode} == {style[k]['color']}
        assert {t.marker.color for t in f['map'].data if t.name.startswith(f'{k} · {name}')} == {style[k]['color']}
        assert f['sizes'].data[2*k].marker.color == style[k]['color']
    assert {t.line.color for t in f['line'].data if t.name == 'mean of the line'
        and 'lines' in t.mode} == {style[1]['color']}

def test_map_is_thinned_and_keeps_the_rare():
    ph = colony(control=200, line=(6, 5, 3000))
    fig = ph.plot_map(limit=100)
    shown = {t.name.split(' (')[0]: len(t.x) for t in fig.data}
    assert shown == {'0 · normal': 89, '1 · severe flat': 6, '2 · high-frequency': 5}
    assert '100 of' in fig.layout.title.text and len(fig.to_json()) < 60_000

def test_unknown_gene_and_colouring(ph):
    with pytest.raises(InputError, match="did you mean 'Myo7a'"): ph.plot_line('Myo7')
    with pytest.raises(InputError, match="did you mean 'centre'"): ph.plot_map('center')
    with pytest.raises(InputError, match='umap'): ph.plot_map(method='isomap')

def test_loaded_phenotypes_draw_the_same(ph, tmp_path):
    back = Phenotypes.load(ph.save(tmp_path/'m'))
    for unit in ('dB SPL', 'offset'):
        assert back.plot_line('Myo7a', unit=unit).to_json() == ph.plot_line('Myo7a', unit=unit).to_json()
    assert (back.plot_profiles().to_json() == ph.plot_profiles().to_json()
        and back.plot_overview().to_json() == ph.matched.cohort.plot_overview().to_json())
    old = dataclasses.replace(ph, mice=ph.mice.drop(columns=['ceiling', *THRESHOLDS]))
    assert old.plot_line('Myo7a', unit='offset').layout.yaxis.title.text == 'offset, dB'
    with pytest.raises(InputError, match='offset'): old.plot_line('Myo7a')

def test_a_line_of_two_technical_groups_has_one_reference(ph):
    "Report, explorer and plots compare it with the controls of the group most of its mice were measured in."
    mice, half = ph.mice.copy(), np.flatnonzero(ph.mice.gene_symbol == 'Myo7a')[:2]
    mice.loc[half, 'technical_group'] = 'another'
    mice.loc[np.flatnonzero(_is_control(ph))[:30], 'technical_group'] = 'another'
    mixed = dataclasses.replace(ph, mice=mice)
    rows = np.flatnonzero(mice.gene_symbol == 'Myo7a')
    assert main_group_of(mixed, rows) == ph.mice.technical_group.iloc[0]
    ref, what = reference_mice(mixed, main_group_of(mixed, rows))
    assert len(ref) == 90 and what == 'controls'
    d, v = gene_data(mixed), Views(mixed)
    assert d['groups'][d['group'][d['gene'].index('Myo7a')]]['n'] == 90 == len(
        reference_of(v, mice.line.iloc[rows[0]])[0])
    assert ('measured elsewhere' in mixed.plot_line('Myo7a').layout.annotations[0].text
        and '2 measured with other equipment' in panel_title(v, mice.line.iloc[rows[0]]))

def test_methods_say_what_this_run_did(ph):
    assert found_words(ph) == '2 phenotypes beside normal hearing were found.'
    lost = dataclasses.replace(ph, summary=ph.summary.assign(name=['normal', 'severe flat', 'unplaced']))
    assert found_words(lost).startswith('1 phenotype beside normal hearing was found; 5 mice')
    text = methods_text(dataclasses.replace(ph,
        info=ph.info | dict(source=dict(simulated=True), versions=dict(impc_phenotypes='9.9'))))
    assert 'simulated mice were analysed with impc_phenotypes 9.9' in text and 'Groza' not in text
    gone = methods_text(dataclasses.replace(ph, mice=ph.mice.assign(offset_30kHz=np.nan),
        info=ph.info | dict(adapted=True)))
    assert '30 kHz' not in gone and 'placed in the phenotypes of an earlier run' in gone and 'Groza' in gone
    undone = methods_text(dataclasses.replace(ph, info=ph.info | dict(joint=dict(accepted=False))))
    assert 'was undone' in undone and 'Xie' not in undone and 'Xie' in methods_text(ph)

def test_a_missing_tone_leaves_a_verdict_without_numbers(ph):
    calls = ph.lines.assign(p_value=.001, called=True, called_liberal=True, q_value=.01, contrast='low',
        mean_offset=np.nan, mean_offset_low=np.nan, mean_offset_high=np.nan, note='no mean')
    said = gene_data(ph, calls)['call'][0]
    assert 'nan' not in said and 'q = 0.01 at low' in said and 'no mean' in said

def test_saved_figures_share_one_program(ph, tmp_path):
    for n in ('a', 'b'): save_figure(ph.plot_sizes(), tmp_path/'figures'/n)
    assert sorted(p.name for p in (tmp_path/'figures').iterdir()) == ['a.html', 'a.png', 'b.html', 'b.png',
        'plotly.min.js']
    assert (tmp_path/'figures'/'a.html').stat().st_size < 50_000

def own_part(page):
    "The report without plotly's program."
    a = page.index('plotly.js v')
    return page[:a] + page[page.index('</script>', a):]

class Tags(HTMLParser):
    "Every element a browser would see in a page: (name, attributes)."
    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page)
    def handle_starttag(self, tag, attrs): self.found.append((tag, dict(attrs)))

def test_report_loads_nothing_and_escapes_everything(tmp_path):
    ph = colony(gene=EVIL)
    metrics = {'model': dict(balanced_ari=.4), EVIL: dict(balanced_ari=.6)}
    path = write_report(ph, tmp_path/'r.html', metrics=metrics, title=EVIL)
    page = path.read_text(encoding='utf-8')
    own = own_part(page)
    assert path.stat().st_size < 8e6
    assert '<script>alert' not in own and '<img' not in own
    tags = Tags(own).found
    assert not [t for t, _ in tags if t in ('img', 'link', 'iframe', 'object', 'embed', 'base')]
    assert not [a for _, attrs in tags for a in attrs if a == 'src' or a.startswith('on')]
    assert all(attrs['href'].startswith('#') for _, attrs in tags if 'href' in attrs)
    assert "default-src 'none'" in page

def test_report_says_it_in_words_too(ph, tmp_path):
    tags = Tags(own_part(write_report(ph, tmp_path/'r.html').read_text(encoding='utf-8'))).found
    words = [a['aria-label'] for t, a in tags if a.get('role') == 'img']
    assert len(words) >= 6 and all(len(w) > 30 for w in words)
    assert sum(t == 'figure' for t, _ in tags) == sum(t == 'figcaption' for t, _ in tags) == len(words)
    labels = sum(t == 'label' for t, _ in tags)
    assert labels == sum(t == 'input' for t, _ in tags) and ('html', {'lang': 'en'}) in tags

def luminance(colour):
    "Relative luminance, WCAG 2.2."
    c = colour.lstrip('#')
    c = ''.join(2*o for o in c) if len(c) == 3 else c
    rgb = [int(c[i:i+2], 16)/255 for i in (0, 2, 4)]
    return sum(w*(v/12.92 if v <= .04045 else ((v+.055)/1.055)**2.4) for w, v in zip((.2126, .7152, .0722), rgb))

def contrast(a, b):
    hi, lo = sorted((luminance(a), luminance(b)), reverse=True)
    return (hi+.05)/(lo+.05)

def test_text_of_report_and_figures_can_be_read():
    grounds = ['#ffffff', '#fdf3ec', '#f6f6f6']
    inks = set(re.findall(r'(?<![-\w])color:(#[0-9a-f]{3,6})', CSS)) | {FONT['color'], '#555555'}
    assert len(inks) >= 4 and round(contrast('#000', '#fff')) == 21
    assert not [(i, g) for i in inks for g in grounds if contrast(i, g) < 4.5]

def test_gene_data_survives_a_loaded_run(ph, tmp_path):
    calls = ph.lines.assign(p_value=[.001]*len(ph.lines), called=True, called_liberal=False, q_value=.01,
        contrast='mean', mean_offset=30., mean_offset_low=20., mean_offset_high=40., note='')
    d, back = gene_data(ph, calls), gene_data(Phenotypes.load(ph.save(tmp_path/'m')), calls)
    assert d == back and json.loads(json.dumps(d, allow_nan=False)) == d
    i = d['gene'].index('Myo7a')
    assert d['n'][i] == 6 and d['call'][i].startswith('called; +30 dB (20 to 40), q = 0.01 at mean')
    raw = np.frombuffer(base64.b64decode(d['offsets']), np.int8).reshape(-1, 6)[d['start'][i]:d['start'][i]+6]
    want = ph.mice[ph.mice.gene_symbol == 'Myo7a'][list(OFFSETS)].to_numpy()
    assert ((raw[:, 0] == want[:, 0].round()).all() and (raw[1::2, 5] != -128).any()
        and (raw[np.isnan(want)] == -128).all())

def test_cards_hold_no_mouse(ph, tmp_path):
    for f in write_cards(ph, tmp_path):
        text = f.read_text(encoding='utf-8')
        assert '| normal |' in text or '| JAX |' in text
        assert not re.search(r'\bm\d+\b', text)

def test_certainty_counts_every_mouse(ph):
    t = certainty_table(ph)
    assert t.to_numpy().sum() == len(ph) and (t['.80–.95'] == t.sum(axis=1)).all()
    moved = Phenotypes.from_membership(ph.matched, np.where(ph.membership == .9, .5, .25), NAMES)
    assert (certainty_table(moved)['.50–.80'] == t.sum(axis=1)).all()
    edge = Phenotypes.from_membership(ph.matched, np.where(ph.membership == .9, .8, .1), NAMES)
    assert (not len(edge.in_doubt) and (certainty_table(edge)['.80–.95'] == t.sum(axis=1)).all()
        and ', 0 of them in doubt' in edge.plot_certainty().layout.title.text)

def test_report_says_when_a_baseline_wins(ph, tmp_path):
    page = write_report(ph, tmp_path/'r.html',
        metrics={'model': dict(balanced_ari=.4, macro_recall=.9),
        'tied mixture': dict(balanced_ari=.6, macro_recall=.5)}).read_text(encoding='utf-8')
    assert 'tied mixture (0.6) is better than model (0.4)' in page
    assert 'macro recall: no other method is better' in page
    none = write_report(ph, tmp_path/'n.html').read_text(encoding='utf-8')
    assert 'No comparison is stored' in none

def test_report_is_the_same_twice(ph, tmp_path):
    a, b = (write_report(ph, tmp_path/n).read_bytes() for n in ('a.html', 'b.html'))
    assert a == b

def test_doubts(ph):
    said = ' '.join(doubts(ph))
    assert '1 severe flat: shown by 1 line only' in said and 'JAX' in said
