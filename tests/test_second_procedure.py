"A procedure unlike hearing (eight parameters, no ceiling, no grid, no click, wrong both ways) from table to report."
import base64, gzip, json, re
import numpy as np, pandas as pd, pytest
from impc_phenotypes.biology.validation import Validation, validate
from impc_phenotypes.calls.lines import call_lines
from impc_phenotypes.core.errors import InputError
from impc_phenotypes.core.registry import load_plugin
from impc_phenotypes.data.controls import ControlReference, match_controls
from impc_phenotypes.data.records import read_records
from impc_phenotypes.data.simulate import simulate_cohort
from impc_phenotypes.phenotypes.discover import discover
from impc_phenotypes.phenotypes.result import Phenotypes
from impc_phenotypes.procedures.procedure import as_procedure
from impc_phenotypes.show.biology_report import biology_sections
from impc_phenotypes.show.methods_text import data_card, methods_text, model_card
from impc_phenotypes.show.report import write_report

YAML = """
name: body
title: body composition
what: body composition
ids: [IMPC_DXA_001]
min_measured: 5
parameters:
  - {name: fat_mass, unit: g, id: IMPC_DXA_002_001, lowest: 0, highest: 60}
  - {name: lean_mass, unit: g, id: IMPC_DXA_003_001, lowest: 0}
  - {name: bone_density, unit: g/cm², id: IMPC_DXA_004_001, lowest: 0, highest: 1}
  - {name: bone_content, unit: g, id: IMPC_DXA_005_001}
  - {name: length, unit: cm, id: IMPC_DXA_006_001, label: body length}
  - {name: fat_share, unit: '%', lowest: 0, highest: 100}
  - {name: lean_share, unit: '%', lowest: 0, highest: 100}
  - {name: bone_area, unit: cm²}
contrasts:
  bone: {bone_density: 0.5, bone_content: 0.5}
  adiposity: {fat_mass: 0.25, fat_share: 0.25, lean_mass: -0.25, lean_share: -0.25}
"""
LEVEL = np.array([6, 20, .05, .5, 10, 22, 75, 9.])
SD = np.array([1.5, 2, .003, .05, .3, 4, 4, .6])
SHAPES = [np.array([3., -2.5, 0, 0, 0, 3, -3, 0]), np.array([0., 0, -4, -3.5, -2, 0, 0, -2])] # control SDs
SHORT = dict(stages=dict(pretrain_epochs=2, joint_epochs=2, kl_warmup=1, loss_warmup=1))
QUICK = dict(line_model=dict(n_starts=2, null_cohorts=3, calibration_lines=200))

def mice(seed, lines=70, controls=140, hit=8):
    "A table of two laboratories; the first lines have the first shape, the next the second."
    rng, rows = np.random.default_rng(seed), []
    R = np.linalg.cholesky(.4+.6*np.eye(8))
    def add(n, who, gene, shift, centre, line_sd=.35):
        z = rng.standard_normal((n,8))@R.T*np.sqrt(1-line_sd**2)+line_sd*(rng.standard_normal(8)@R.T)+shift
        x = LEVEL+SD*z*(1.2 if centre=='TCP' else 1)+SD*(1.5 if centre=='TCP' else 0)
        rows.append(pd.DataFrame(x, columns=list(PARAMETERS)).assign(biological_sample_group=who, gene_symbol=gene,
            allele_symbol=gene, zygosity='homozygote' if gene else 'wildtype', phenotyping_center=centre,
            sex=np.where(np.arange(n)%2, 'male', 'female'), procedure_stable_id='IMPC_DXA_001'))
    for centre in ('JAX','TCP'):
        for _ in range(controls): add(1, 'control', None, 0, centre)
    for i in range(lines):
        shift = SHAPES[i//hit] if i<2*hit else 0
        add(7, 'experimental', f'Gene{i}', shift*rng.normal(1, .1), ('JAX','TCP')[i%2])
    t = pd.concat(rows, ignore_index=True)
    t.loc[rng.random(len(t))<.1, 'bone_area'] = np.nan
    return t.assign(specimen_id=[f'm{seed}_{i}' for i in range(len(t))])

PARAMETERS = ('fat_mass','lean_mass','bone_density','bone_content','length','fat_share','lean_share','bone_area')

@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    "One YAML file and one registration, as another package would have them."
    folder = tmp_path_factory.mktemp('second')
    (folder/'body.yaml').write_text(YAML)
    (folder/'body_package.py').write_text('from pathlib import Path\n'
        'from impc_phenotypes.procedures.procedure import read_procedure\n'
        "BODY = read_procedure(Path(__file__).with_name('body.yaml'))\n")
    info = folder/'body_package-0.1.dist-info'
    info.mkdir()
    (info/'METADATA').write_text('Metadata-Version: 2.1\nName: body-package\nVersion: 0.1\n')
    (info/'entry_points.txt').write_text('[impc_phenotypes.procedures]\nbody = body_package:BODY\n')
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield folder

@pytest.fixture(scope='module')
def table(folder):
    mice(1).to_csv(folder/'body.csv', index=False)
    return folder/'body.csv'

@pytest.fixture(scope='module')
def cohort(table): return read_records(table, procedure='body', verbose=False)

@pytest.fixture(scope='module')
def ph(cohort): return discover(cohort, model_config=QUICK, training_config=SHORT, progress=False)

def test_it_is_read_by_its_registered_name(cohort, folder):
    assert cohort.procedure==load_plugin('procedures', 'body')==as_procedure(folder/'body.yaml')
    assert cohort.thresholds.shape==(770,8) and not cohort.censored.any() and np.isinf(cohort.ceilings).all()

def test_offsets_are_control_sds(cohort):
    m = match_controls(cohort)
    wild = m.offset[m.is_reference]
    assert np.abs(np.nanmean(wild, 0)).max()<.15 and .8<np.nanstd(wild)<1.3
    assert np.nanmean(m.offset[m.cohort.frame.gene_symbol=='Gene0'][:,0])>2
    back = ControlReference.from_dict(json.loads(json.dumps(m.reference.to_dict())))
    assert back.procedure==m.procedure and np.allclose(match_controls(m.cohort, reference=back).offset, m.offset,
        equal_nan=True)

def test_tables_of_a_model_that_wants_dB_say_their_unit(cohort):
    from impc_phenotypes.models.factor_mixture import FactorMixture
    from impc_phenotypes.models.centroids import KMeansClusters
    from impc_phenotypes.sources.tables import mouse_source
    m = match_controls(cohort)
    points,sds = mouse_source(FactorMixture(), m),mouse_source(KMeansClusters(), m)
    assert points.unit=='1/8 SD' and points.columns[0]=='points_fat_mass' and sds.columns[0]=='z_fat_mass'
    assert sds.unit=='control SD' and np.allclose(np.nan_to_num(points.train.X), np.nan_to_num(m.offset*8))

def test_both_shapes_are_found_and_named_by_what_stands_out(ph):
    truth = ph.mice.gene_symbol.map(lambda g: 0 if not isinstance(g, str) else 1+int(g[4:])//8 if int(g[4:])<16 else 0)
    table = pd.crosstab(truth, ph.assignments.phenotype)
    assert len(ph.names)>=3 and (table.loc[[1,2]].max(axis=1)/table.loc[[1,2]].sum(axis=1)).min()>.85
    assert table.loc[1].idxmax()!=table.loc[2].idxmax() and table.loc[0,0]/table.loc[0].sum()>.97
    names = ' | '.join(ph.names)
    assert 'fat mass' in names and 'low bone density' in names and 'dB' not in names and 'kHz' not in names
    assert [c for c in ph.profiles if c.startswith('offset_')][:8]==[f'offset_{p}' for p in PARAMETERS]

def test_lines_are_called_in_both_directions(cohort, ph):
    c = ph.call_lines(draws=2000)
    hit = {f'Gene{i}' for i in range(16)}
    called = set(c.called.gene_symbol)
    assert len(called & hit)>=14 and len(called-hit)<=2
    one = c.summary.set_index('gene_symbol')
    assert one.loc['Gene9','offset_bone_density']<-2 and one.loc['Gene1','offset_fat_mass']>1.5
    assert one.mirror_p.isna().all() and 'p_over_10dB' not in one
    assert c.check().set_index('check').loc['mirror','ok'] and not c.check().to_string().count('dB')
    assert len(c.plot_line('Gene9').data) and len(c.plot_volcano().data)

def test_the_report_speaks_its_words(ph, folder):
    calls = ph.call_lines(draws=1000, by_sex=False)
    v = validate(ph, draws=1000)
    v.save(folder)
    v = Validation.load(folder) # as a report of a saved run has it
    assert v.calls.procedure==ph.procedure
    page = write_report(ph, folder/'report.html', calls=calls.summary, extra=biology_sections(v),
        methods=methods_text(ph, v)).read_text(encoding='utf-8')
    main = re.sub(r'<script.*?</script>|<div id="figure.*?</div>', '', page[page.index('<main>'):], flags=re.S)
    main = re.sub(r'<[^>]+>', ' ', main[:main.index('Complete configuration')])
    found = re.findall(r'.{40}(?:\bdB\b|kHz|[Hh]ear|audiogram|threshold|\bclick\b|\btones?\b).{30}', re.sub('A click on|The lists of hearing genes', '', main))
    assert not found, found
    assert 'female − male, control SDs' in main
    assert 'audiogram_width' in page[page.index('Complete configuration'):] # keys of settings stay what they are
    assert 'body composition' in main and 'fat mass' in main and 'low bone density' in main
    data = json.loads(gzip.decompress(base64.b64decode(re.search(r'id="gene-data">(.*?)<', page, re.S)[1])))
    assert (data['main'], data['unit'], len(data['ticks']), data['log'])==(8, 'SD', 8, False)
    assert 'body composition' in model_card(ph) and 'hearing' not in data_card(ph)
    assert 'Groza' in methods_text(ph, v) and 'Bowl' not in methods_text(ph, v)
    assert not model_card(ph).rstrip().endswith('## Limits')
    over = ph.plot_overview()
    assert len(over.data)==1 and 'missing values' in over.layout.title.text and 'stimuli' not in str(over.layout)
    assert all(len(f.data) for f in (ph.plot_profiles(), ph.plot_line('Gene9'), over))
    assert ph.plot_map('offset').data[0].marker.cmax==60*ph.procedure.point

def test_nobody_is_called_where_nobody_is_affected(folder):
    cohort = read_records(mice(5, hit=0), procedure='body', verbose=False)
    assert len(call_lines(cohort, draws=2000, by_sex=False).called)<=2

def test_a_saved_result_knows_what_it_is_of(ph, folder):
    ph.save(folder/'model')
    back = Phenotypes.load(folder/'model')
    assert back.procedure==ph.procedure and back.names==ph.names
    new = back.predict(read_records(mice(2), procedure=back.procedure, verbose=False))
    lines = new.lines.set_index('gene_symbol').phenotype
    assert (lines[[f'Gene{i}' for i in range(8)]]==lines['Gene0']).mean()>.7 and lines['Gene0']>0
    assert (lines[[f'Gene{i}' for i in range(16,70)]]==0).mean()>.9

def test_another_procedure_is_refused_with_the_remedy(ph, table):
    with pytest.raises(InputError, match="the cohort holds auditory brainstem response.*fitted to body composition"):
        ph.predict(simulate_cohort(300, seed=1))
    with pytest.raises(InputError, match='not of the auditory brainstem response.*--procedure NAME'):
        read_records(table, verbose=False)
    with pytest.raises(InputError, match='did you mean'): read_records(table, procedure='bodi', verbose=False)

def told(*args, capsys, code=0):
    "A command, in this process; its output, or its message."
    from impc_phenotypes.cli.main import main
    try: main([*map(str, args)]); got = 0
    except SystemExit as e: got = e.code or 0
    out,err = capsys.readouterr()
    assert got==code and 'Traceback' not in err, err
    return err if code else out.splitlines()[-1]

def test_the_command_line_takes_another_procedure(folder, table, capsys):
    from impc_phenotypes.runs.folder import open_run
    own,root = ('--procedure', folder/'body.yaml'),('--output-dir', folder/'runs')
    run = open_run(told('train', table, *own, 'model=k_means', 'k=3', *root, capsys=capsys))
    assert run.record['options']['procedure']['name']=='body' and run.cohort().procedure==as_procedure('body')
    new = folder/'new.csv'
    mice(2).to_csv(new, index=False)
    told('predict', run.path, new, '--out', folder/'placed.csv', capsys=capsys) # its procedure is that of the run
    assert len(pd.read_csv(folder/'placed.csv'))==770
    from impc_phenotypes.core.files import write_table
    from impc_phenotypes.data.simulate import to_impc
    write_table(to_impc(simulate_cohort(300, seed=1)), folder/'abr.csv')
    err = told('predict', run.path, folder/'abr.csv', '--out', folder/'no.csv', '--procedure', 'abr',
        capsys=capsys, code=2)
    assert 'fitted to body composition' in err and not (folder/'no.csv').exists()
    err = told('train', table, '--procedure', 'bodi', *root, 'model=k_means', capsys=capsys, code=2)
    assert 'did you mean `body`' in err
    err = told('train', 'model=k_means', 'data=digits', *own, *root, capsys=capsys, code=2)
    assert '--procedure' in err and 'tables of mice' in err
    err = told('predict', run.path, 'digits', '--out', folder/'no.csv', capsys=capsys, code=2)
    assert 'digits: is a source of rows' in err

def test_a_network_of_another_procedure_is_trained_and_evaluated(folder, table, capsys):
    short = ('stages.pretrain_epochs=2', 'stages.joint_epochs=2', 'kl_warmup=1', 'loss_warmup=1',
        'line_model.n_starts=2', 'line_model.null_cohorts=3', 'line_model.calibration_lines=200')
    run = told('train', table, '--procedure', 'body', *short, '--output-dir', folder/'runs',
        '--experiment-name', 'net', capsys=capsys)
    told('evaluate', run, '--bootstraps', 0, '--refits', 0, capsys=capsys)
    told('predict', run, table, '--out', folder/'again.csv', capsys=capsys)
    assert len(pd.read_csv(folder/'again.csv'))==770 and told('report', run, capsys=capsys).endswith('report.html')

@pytest.mark.parametrize('change,word', [
    (('lowest: 0, highest: 60', 'lowst: 0'), 'did you mean `lowest`'), (('unit: g,', '',), '`unit` is missing'),
    (('lowest: 0, highest: 60', 'lowest: 0, ceiling: -3'), 'ceiling'), (('lean_mass,', 'fat_mass,'), 'two parameters'),
    (('title:', '? title\n:'), ''), (('what: body', 'what: &a body'), 'anchor'), (('min_measured: 5', 'min_measured: 99'), '1 to 8'),
])
def test_a_bad_file_gets_one_message_with_its_remedy(tmp_path, change, word):
    (tmp_path/'bad.yaml').write_text(YAML.replace(*change, 1))
    if not word: assert as_procedure(tmp_path/'bad.yaml'); return
    with pytest.raises(InputError, match=word) as e: as_procedure(tmp_path/'bad.yaml')
    assert 'bad.yaml' in str(e.value)
