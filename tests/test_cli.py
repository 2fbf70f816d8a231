"The command as a user runs it: real processes, real files, bad input, kills."
import contextlib, io, json, os, resource, shutil, signal, subprocess, sys, time
from pathlib import Path
from unittest import mock
import numpy as np, pandas as pd
import pytest
from impc_phenotypes.runs.config import FOLDER, PRESETS, load_config, packaged
from impc_phenotypes.procedures.abr import IMPC_THRESHOLDS
from impc_phenotypes.models.config import ModelConfig, preset_model
from impc_phenotypes.training.config import TrainingConfig, preset_training

COMMAND = Path(sys.executable).with_name('impc-phenotypes')
FAST = ['stages.pretrain_epochs=20', 'stages.joint_epochs=20', 'kl_warmup=5', 'loss_warmup=5',
    'early_stopping.patience=0', 'checkpoints.every=1', 'line_model.n_starts=2', 'line_model.calibration_lines=500',
    'line_model.null_cohorts=1', 'guard.patience=0']
ALONE = ['--bootstraps', 0, '--refits', 0] # without stability
ENV = {k:v for k,v in os.environ.items() if k!='CI'} | dict(OMP_NUM_THREADS='1', COLUMNS='200')

def impc(*args, cwd, alone=False, **kw):
    """Run the command; its exit code, stdout and stderr. In this process, which has imported everything already; in one
    of its own where the test is about processes (`alone`, or anything that `subprocess.run` takes)."""
    if alone or kw:
        return subprocess.run([COMMAND, *map(str, args)], cwd=cwd, env=ENV, capture_output=True, text=True,
            timeout=300, **kw)
    from impc_phenotypes.cli.main import main
    out, err, code = io.StringIO(), io.StringIO(), 0
    env = mock.patch.dict(os.environ, ENV, clear=True)
    with env, contextlib.chdir(cwd), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try: main([str(a) for a in args])
        except SystemExit as e: code = e.code or 0
    return subprocess.CompletedProcess(args, code, out.getvalue(), err.getvalue())

def refused(done, *words, code=2):
    "Exit code, the words the message must hold, no traceback."
    assert done.returncode==code, done.stderr
    assert 'Traceback' not in done.stderr
    for w in words: assert str(w) in done.stderr, (w, done.stderr)

def spec(table): return set(table.specimen_id.astype(str))
def tree(folder):
    return {p.relative_to(folder):(p.stat().st_mtime_ns, p.stat().st_size) for p in Path(folder).rglob('*')
        if p.is_file()}

@pytest.fixture(scope='session')
def work(tmp_path_factory): return tmp_path_factory.mktemp('cli')

@pytest.fixture(scope='session')
def export(work):
    "A simulated export of 1,200 mice."
    done = impc('simulate', '--n', 1200, '--seed', 5, '--out', 'clean.csv', cwd=work)
    assert done.returncode==0, done.stderr
    assert done.stdout.strip()==str(work/'clean.csv')
    return pd.read_csv(work/'clean.csv', dtype=str, keep_default_na=False)

@pytest.fixture(scope='session')
def dirty(work, export):
    "The export with two impossible rows, a copy of a row and a mouse with two tones."
    t = export.copy()
    t.loc[3, IMPC_THRESHOLDS[0]], t.loc[7, IMPC_THRESHOLDS[1]] = 'loud', '400'
    t.loc[11, list(IMPC_THRESHOLDS[2:])] = ''
    t = pd.concat([t, t.iloc[[20]]], ignore_index=True)
    t.to_csv(work/'dirty.csv', index=False)
    return t

@pytest.fixture(scope='session')
def run(work, dirty):
    "One run that is done; other tests read it."
    done = impc('train', 'dirty.csv', '--on-bad-rows', 'drop', '--experiment-name', 'shared', '--seed', 7, *FAST,
        cwd=work, alone=True)
    assert done.returncode==0, done.stderr
    assert 'Traceback' not in done.stderr
    folder = Path(done.stdout.splitlines()[-1])
    assert folder.parent==work/'experiments'/'shared'
    return folder

BAD = {
    'column missing': (lambda t: t.drop(columns='phenotyping_center'), ['phenotyping_center']),
    'column misspelt': (lambda t: t.rename(columns={IMPC_THRESHOLDS[0]:'6kHz-evoked ABR Treshold'}),
    [IMPC_THRESHOLDS[0], '6kHz-evoked ABR Treshold']),
    'other procedure': (lambda t: t.assign(procedure_stable_id='IMPC_BWT_001', procedure_name='Body Weight',
    procedure_group='IMPC_BWT', parameter_stable_id='IMPC_BWT_001_001'), ['auditory brainstem']),
    'no rows': (lambda t: t.iloc[:0], ['no rows']),
    'text in a threshold': (lambda t: t.assign(**{IMPC_THRESHOLDS[2]:['deaf' if i in (*range(11), 12) else v
        for i,v in enumerate(t[IMPC_THRESHOLDS[2]])]}), ['12', 'deaf', '--no-response deaf=LEVEL', 2]),
    'text in all of a line': ( # the mouse of row 11 is its line
    lambda t: t.assign(**{IMPC_THRESHOLDS[2]:['deaf']*12+t[IMPC_THRESHOLDS[2]].tolist()[12:]}),
    ['12', 'deaf', 'would lose the whole line', 2]),
    'threshold of 300 dB': (lambda t: t.assign(**{IMPC_THRESHOLDS[3]:['300']+t[IMPC_THRESHOLDS[3]].tolist()[1:]}),
    ['300', '-20']),
    'unknown group': (lambda t: t.assign(biological_sample_group=['strange']+t.biological_sample_group.tolist()[1:]),
    ['strange', 'control, experimental, unknown']),
    'weight in words': (lambda t: t.assign(weight=['heavy']+t.weight.tolist()[1:]), ['heavy', 'weight']),
    'conflicting specimen': (lambda t: pd.concat(
    [t, t.iloc[[0]].assign(**{IMPC_THRESHOLDS[0]:'95', IMPC_THRESHOLDS[1]:'5'})]), ['more than once']),
}

@pytest.mark.parametrize('what', BAD)
def test_bad_data_is_named(what, work, export):
    change, words = BAD[what]
    path = work/f'{what.replace(" ", "_")}.csv'
    change(export).to_csv(path, index=False)
    done = impc('train', path, '--experiment-name', 'bad', cwd=work)
    refused(done, path.name, *words)
    assert not (work/'experiments'/'bad').exists(), 'bad input must leave nothing behind'
    if what in ('text in a threshold','threshold of 300 dB','unknown group','weight in words','conflicting specimen'):
        assert export.specimen_id[0] in done.stderr
    if what=='text in a threshold': assert sum(i in done.stderr for i in export.specimen_id[:12])==10

@pytest.mark.parametrize('name,content,words',
    [('empty.csv', b'', ['empty']), ('book.xlsx', b'PK\x03\x04', ['.xlsx', '.csv']),
    ('text.csv', b'\x89HDF\r\n\x1a\n\0\0', ['HDF5']),
    ('cut.csv.gz', b'\x1f\x8b\x08\0\0', ['gzip']), ('page.csv', b'<html><body>404</body></html>', ['HTML']),
        ('bad.parquet', b'PAR1nonsense', ['Parquet'])])
def test_a_file_of_the_wrong_kind_is_named(name, content, words, work):
    (work/name).write_bytes(content)
    refused(impc('train', name, cwd=work), name, *words)

def test_a_missing_file_is_named(work, export): refused(impc('train', 'claen.csv', cwd=work), 'claen.csv', 'clean.csv')

@pytest.mark.parametrize('args,words', [
    (['model.latent.dmi=4'], ['model.latent.dmi', 'did you mean `model.latent.dim`']),
        (['training.pretrain_epoch=4'], ['training.stages.pretrain_epochs']),
    (['optimiser.learning_rate=1'], ['did you mean `training.optimiser.lr`']),
        (['training.seed=1'], ['did you mean `seed`']),
        (['latent.dim=wide'], ['`model.latent.dim`', 'whole number', 'wide']),
        (['latent.dim=-1'], ['latent.dim', '-1']), (['latent=3'], ['section']),
        (['hidden=[3]'], ['model.encoder.hidden', 'model.decoder.hidden']),
    (['optimiser.lr=.nan'], ['training.optimiser.lr', 'number']), (['more.csv'], ['key=value']),
        (['--preset', 'modern'], ['modern', 'anchored']), (['--n-phenotypes', 'many'], ['many', 'auto']),
        (['--n-phenotypes', '1'], ['at least 2']),
    (['--seed', '-1'], ['seed']), (['--device', 'abacus'], ['abacus']), (['--experiment-name', '../up'], ['../up']),
        (['--config', 'none.yaml'], ['none.yaml']), (['--columns', 'none.yaml'], ['none.yaml']),
        (['--resume', 'nothing', '--seed', '1'], ['--seed']), (['--nonsense'], ['--nonsense'])])
def test_bad_settings_are_named(args, words, work, export):
    done = impc('train', *([] if '--resume' in args else ['clean.csv']), *args, cwd=work)
    refused(done, *words)
    assert not (work/'experiments'/'run').exists()

@pytest.mark.parametrize('text,words',
    [('latent:\n  dimension: 3\n', ['mine.yaml', 'latent.dim']), ('latent: [3', ['mine.yaml', 'YAML']),
    ('- 3\n', ['mine.yaml', 'key']), ('latent:\n  dim: two\n', ['mine.yaml', 'model.latent.dim', 'two']),
    ('latent:\n  dim: 0\n', ['mine.yaml', 'latent.dim']), ('preset: classic\n', ['mine.yaml', 'classic'])])
def test_a_bad_configuration_file_is_named(text, words, work, export):
    (work/'mine.yaml').write_text(text)
    refused(impc('train', 'clean.csv', '--preset', 'anchored', '--model-config', 'mine.yaml', cwd=work), *words)

def test_config_prints_what_can_be_read_back(work):
    for preset in PRESETS:
        done = impc('config', '--preset', preset, cwd=work)
        assert done.returncode==0, done.stderr
        (work/'printed.yaml').write_text(done.stdout)
        assert load_config(base=work/'printed.yaml')==load_config(preset)
        assert impc('config', 'check', 'printed.yaml', cwd=work).returncode==0
    (work/'printed.yaml').write_text('stages:\n  joint_epoch: 3\n')
    refused(impc('config', 'check', 'printed.yaml', cwd=work), 'printed.yaml', 'training.stages.joint_epochs')

def test_packaged_configuration_is_that_of_the_code():
    for name,text in packaged().items():
        assert (FOLDER/name).read_text(
            encoding='utf-8')==text, f'{name}: run impc_phenotypes.runs.config.write_packaged()'
    assert (load_config().model, load_config().training)==(ModelConfig(), TrainingConfig())
    for p in PRESETS: assert (load_config(p).model, load_config(p).training)==(preset_model(p), preset_training(p))

def test_help_is_light(work):
    done = subprocess.run([sys.executable, '-c', "import sys, impc_phenotypes.cli.main; "
        "print(sorted({'torch','pandas','fastai','plotly'} & set(sys.modules)))"], capture_output=True, text=True,
        env=ENV)
    assert done.stdout.strip()=='[]', done
    done = impc('--help', cwd=work)
    assert all(c in done.stdout for c in ('demo','simulate','download','train','evaluate','visualize','report',
        'predict','benchmark','runs','config'))

def test_debug_shows_the_traceback(work):
    assert 'Traceback' in impc('train', 'nowhere.csv', '--debug', cwd=work, alone=True).stderr

def test_every_row_is_accounted_for(run, dirty):
    a, e = pd.read_csv(run/'assignments.csv'), pd.read_csv(run/'excluded.csv')
    assert len(a)+len(e)==len(dirty)
    assert spec(a) | spec(e)==spec(dirty) and a.specimen_id.is_unique
    reasons = e.set_index('specimen_id').reason
    for i,word in ((3, 'loud'), (7, '400'), (11, 'tones'), (20, 'copy')): assert word in reasons[dirty.specimen_id[i]]
    assert (a.phenotype>=0).all() and a.probability.between(0, 1).all() and set(a.evidence) <= {'line','mouse',
        'weak-controls','bulk-reference'}
    member = a.filter(like='membership_')
    assert np.allclose(member.sum(axis=1), 1, atol=1e-4) and (member.to_numpy().argmax(1)==a.phenotype).all()

def test_the_run_folder_is_complete(run, work):
    for f in ('config.yaml','metadata.json','assignments.csv','excluded.csv','lines.csv','history.csv',
            'embeddings/latent_embeddings.npz','model/model.json','checkpoints/pretrain/last.pt',
            'checkpoints/joint/last.pt'):
        assert (run/f).is_file(), f
    meta = json.loads((run/'metadata.json').read_text())
    assert (meta['status']=='done' and meta['seed']==7 and meta['data']['path']==str(work/'dirty.csv')
        and len(meta['data']['sha256'])==64)
    assert meta['command'][1:3]==['train',
        'dirty.csv'] and meta['durations']['total']>0 and meta['versions']['torch'] and meta['host']
    assert load_config(base=run/'config.yaml').training.stages.joint_epochs==20
    z = np.load(run/'embeddings'/'latent_embeddings.npz', allow_pickle=False)
    assert z['latent'].shape[0]==len(z['specimen_id'])==len(pd.read_csv(run/'assignments.csv'))
    lines = pd.read_csv(run/'lines.csv')
    assert ['gene_symbol','allele_symbol','zygosity','phenotyping_center','n_mice','n_controls','phenotype',
        'probability','offset_6kHz']==list(lines)[:9]
    assert not list(run.rglob('*.part')) and not list(run.rglob('*.tmp'))

def test_evaluate_prints_the_baselines(run, work):
    done = impc('evaluate', run, '--save-embeddings', '--save-predictions', *ALONE, cwd=work)
    assert done.returncode==0, done.stderr
    saved = json.loads((run/'metrics.json').read_text())
    methods = [m['method'] for m in saved['methods']]
    assert methods[0]=='anchored model' and {'k-means','tied mixture',
        'gate + mixture'} <= set(methods) and saved['truth']
    for m in ('k-means','tied mixture','balanced_ari','macro_recall'): assert m in done.stdout
    done = impc('evaluate', '--checkpoint', run/'checkpoints'/'joint'/'last.pt', '--save-embeddings', cwd=work)
    assert done.returncode==0, done.stderr
    assert (run/'metrics-joint-last.json').is_file()
    done = impc('visualize', '--embeddings', run/'embeddings'/'embeddings-joint-last.npz', '--results',
        run/'predictions.csv', cwd=work)
    assert done.returncode==0, done.stderr
    assert all(Path(f).stat().st_size>1000 for f in done.stdout.split()) and {'profiles.png','map_pca.html',
        'sizes.png','centres.png','history.png'} <= {Path(f).name for f in done.stdout.split()}
    done = impc('report', 'shared', cwd=work)
    assert done.returncode==0, done.stderr
    assert 'k-means' in (run/'report.html').read_text()

def test_evaluate_says_what_is_stable(run, work, dirty):
    "In a copy; the verdict joins the saved model, and the model places mice as before."
    copy = work/'experiments'/'stable'/run.name
    shutil.copytree(run, copy)
    for bootstraps,refits in ((1, 0), (0, 1)):
        done = impc('evaluate', copy, '--bootstraps', bootstraps, '--refits', refits, cwd=work)
        assert done.returncode==0 and 'Stability: mean Jaccard' in done.stdout and 'stability.csv' in done.stderr, done.stderr
    t, pairs, saved = (pd.read_csv(copy/'stability.csv'), pd.read_csv(copy/'stability_agreement.csv'),
        pd.read_parquet(copy/'model'/'summary.parquet'))
    assert list(pairs.kind)==['seed'] and t.jaccard.isna().all() and saved.filter(like='stab').shape[1]==3
    assert np.allclose(saved.stability, t.jaccard_seeds) and (saved.stable==t.stable).all()
    assert done.stderr.count('Unstable: phenotype')==(~t.stable).sum()
    for f in ('weights.safetensors','assignments.parquet','lines.parquet'):
        assert (copy/'model'/f).read_bytes()==(run/'model'/f).read_bytes(), f
    assert impc('predict', copy, 'dirty.csv', '--on-bad-rows', 'drop', '--out', 'as_was.csv', cwd=work).returncode==0
    assert (work/'as_was.csv').read_bytes()==(run/'assignments.csv').read_bytes()
    refused(impc('evaluate', copy, '--bootstraps', -1, cwd=work), '--bootstraps')
    shutil.rmtree(copy.parent)

def test_other_results_are_drawn_beside_the_runs_own_pictures(run, work):
    assert impc('visualize', run, cwd=work).returncode==0 and (run/'figures'/'selection.png').is_file()
    assert impc('evaluate', run, '--save-predictions', *ALONE, cwd=work).returncode==0
    a = pd.read_csv(run/'predictions.csv')
    member = [c for c in a if c.startswith('membership_')]
    shuffled = a.copy()
    shuffled[['phenotype','name','probability',*member]] = a.sample(frac=1,
        random_state=0)[['phenotype','name','probability',*member]].to_numpy()
    shuffled.to_csv(run/'shuffled.csv', index=False)
    done = impc('visualize', run, '--results', run/'shuffled.csv', cwd=work)
    assert done.returncode==0, done.stderr
    for name in ('profiles','centres','map_pca'):
        assert (run/'figures'/'shuffled'/f'{name}.png').read_bytes() != (
            run/'figures'/f'{name}.png').read_bytes(), name
    a.drop(columns=member).to_csv(run/'bare.csv', index=False)
    refused(impc('visualize', run, '--results', run/'bare.csv', cwd=work), 'bare.csv', '--save-predictions')

def test_a_style_file_changes_the_figures_and_a_wrong_one_is_named(run, work, monkeypatch):
    copy = work/'styled'/'copy'
    shutil.copytree(run, copy)
    (work/'look.yaml').write_text("normal: '#12ab34'\n")
    monkeypatch.setitem(ENV, 'IMPC_PHENOTYPES_FIGURES', str(work/'look.yaml'))
    assert impc('visualize', copy, cwd=work, alone=True).returncode==0
    page = (copy/'figures'/'profiles.html').read_text(encoding='utf-8')
    assert '#12ab34' in page and '#7A7A7A' not in page
    (work/'look.yaml').write_text("norml: '#12ab34'\n")
    refused(impc('visualize', copy, cwd=work, alone=True), 'look.yaml', 'did you mean `normal`')
    shutil.rmtree(copy.parent)

def test_moved_or_changed_data_is_noticed(run, work, dirty):
    away = work/'away.csv'
    os.rename(work/'dirty.csv', away)
    try:
        refused(impc('evaluate', run, *ALONE, cwd=work), 'dirty.csv', '--data')
        (work/'dirty.csv').write_text('something else')
        refused(impc('evaluate', run, *ALONE, cwd=work), 'dirty.csv', '--data')
        assert impc('evaluate', run, '--data', away, *ALONE, cwd=work).returncode==0
    finally: os.replace(away, work/'dirty.csv')

def test_predict_repeats_the_run_and_accounts_for_rows(run, work, dirty):
    done = impc('predict', 'shared', 'dirty.csv', '--on-bad-rows', 'drop', '--out', 'new.csv', cwd=work)
    assert done.returncode==0, done.stderr
    assert 'new_excluded.csv' in done.stderr
    new, old = pd.read_csv(work/'new.csv'), pd.read_csv(run/'assignments.csv')
    pd.testing.assert_frame_equal(new, old)
    assert len(new)+len(pd.read_csv(work/'new_excluded.csv'))==len(dirty)

def test_predict_never_replaces_data_or_results(run, work, dirty):
    before = tree(run)
    refused(impc('predict', run, 'dirty.csv', '--out', 'dirty.csv', cwd=work), 'dirty.csv')
    refused(impc('predict', run, 'dirty.csv', '--out', run/'assignments.csv', cwd=work), 'belongs to a run')
    refused(impc('predict', run, 'dirty.csv', '--out', 'table.xlsx', cwd=work), '.csv')
    assert tree(run)==before

def test_predict_replaces_files_only_when_told_to(run, work, dirty):
    predict = lambda out, *more: impc('predict', run, 'dirty.csv', '--on-bad-rows', 'drop', '--out', out, *more,
        cwd=work)
    for kept in ('mine.csv', 'fresh_excluded.csv'):
        (work/kept).write_text('mine')
        out = kept.replace('_excluded', '')
        refused(predict(out), kept, '--force')
        assert (work/kept).read_text()=='mine'
    assert not (work/'fresh.csv').exists()
    done = predict('fresh.csv', '--force')
    assert done.returncode==0 and (work/'fresh_excluded.csv').read_text()!='mine'
    done = predict('new/folder/p.csv')
    assert (done.returncode==0 and done.stdout.strip()==str(work/'new'/'folder'/'p.csv')
        and f"the folder {work/'new'/'folder'} is new" in done.stderr)

def test_simulated_phenotypes_are_not_given_to_real_mice_silently(run, work, export):
    export.drop(columns=[c for c in export if c.startswith('true_')]).to_csv(work/'as_real.csv', index=False)
    warned = 'TRAINED ON SIMULATED MICE'
    for data,loud in (('as_real.csv', True), ('clean.csv', False)):
        done = impc('predict', run, data, '--out', f'sim_{data}', cwd=work)
        assert done.returncode==0 and (warned in done.stderr)==loud, done.stderr
    done = impc('train', 'as_real.csv', '--model', run, '--experiment-name', 'as-real', cwd=work)
    assert done.returncode==0 and warned in done.stderr
    assert warned in impc('predict', 'as-real', 'as_real.csv', '--out', 'sim_again.csv', cwd=work).stderr

@pytest.mark.parametrize('name,choose',
    [('no_controls', lambda t: t[t.biological_sample_group!='control'][:40]), ('one_mouse', lambda t: t[:1]),
    ('few', lambda t: pd.concat([t[t.biological_sample_group=='control'][:3],
        t[t.biological_sample_group!='control'][:5]]))])
def test_too_small_a_table_leaves_no_run(name, choose, work, export):
    choose(export).to_csv(work/f'{name}.csv', index=False)
    done = impc('train', f'{name}.csv', '--experiment-name', name, *FAST, cwd=work, alone=True) # warnings are seen
    refused(done, f'{name}.csv', 'control')
    assert not (work/'experiments'/name).exists()
    for raw in ('RuntimeWarning', 'All-NaN', 'Degrees of freedom'): assert raw not in done.stderr

def test_a_failed_download_says_why_in_a_line(work):
    done = impc('download', '--base-url', 'http://127.0.0.1:9/solr', '--retries', 0, '--out', 'never.parquet',
        cwd=work)
    refused(done, 'http://127.0.0.1:9/solr/experiment/select', 'refused', code=1)
    assert 'parameter_stable_id' not in done.stderr and max(map(len, done.stderr.splitlines()))<250

def test_runs_are_listed_and_shown(run, work):
    done = impc('runs', cwd=work)
    assert done.returncode==0 and run.name in done.stdout and 'done' in done.stdout
    assert '"status": "done"' in impc('runs', 'show', 'latest', cwd=work).stdout
    refused(impc('runs', 'show', 'shraed', cwd=work), 'did you mean `shared`', run.name)
    refused(impc('predict', 'nope', 'clean.csv', '--out', 'never.csv', cwd=work), 'no run `nope`',
        f'shared/{run.name}')

def test_a_new_run_leaves_others_alone(run, work, export):
    before = tree(run)
    done = impc('train', 'clean.csv', '--experiment-name', 'shared', '--preset', 'classic', *FAST, 'pretrain_epochs=2',
        'joint_epochs=2', cwd=work)
    assert done.returncode==0, done.stderr
    assert Path(done.stdout.splitlines()[-1])!=run and tree(run)==before
    done = impc('train', '--resume', run, cwd=work)
    assert (done.returncode==0 and 'done already' in done.stderr and done.stdout.splitlines()[-1]==str(run)
        and tree(run)==before)
    refused(impc('train', '--resume', run, 'latent.dim=3', cwd=work), 'model.latent.dim')

def test_a_small_export_takes_the_phenotypes_of_a_run(run, work, export):
    (export.iloc[::4]).to_csv(work/'part.csv', index=False)
    refused(impc('train', 'part.csv', '--model', 'shared', '--seed', 3, cwd=work), '--seed')
    done = impc('train', 'part.csv', '--model', run, cwd=work)
    assert done.returncode==0, done.stderr
    new = Path(done.stdout.splitlines()[-1])
    assert (new.parent.name=='adapted'
        and len(pd.read_csv(new/'assignments.csv'))+len(pd.read_csv(new/'excluded.csv'))==300)
    leak = json.loads((new/'model'/'model.json').read_text())['info']['leakage']
    controls = (export.iloc[::4].biological_sample_group=='control').sum()
    assert all((r['n_controls'] or 0)<=controls
        for r in leak), 'the leakage table is about these mice, not those of the model'
    done = impc('predict', run, 'part.csv', '--out', 'part_new.csv', cwd=work)
    pd.testing.assert_frame_equal(pd.read_csv(work/'part_new.csv'), pd.read_csv(new/'assignments.csv'))
    done = impc('evaluate', new, cwd=work)
    assert done.returncode==0 and 'not assessed: its phenotypes come from an earlier run' in done.stderr, done.stderr
    assert not (new/'stability.csv').exists()

def start(work, name):
    return subprocess.Popen([COMMAND, 'train', 'dirty.csv', '--on-bad-rows', 'drop', '--experiment-name', name,
        '--seed', '7', *FAST], cwd=work, env=ENV, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

def interrupted(work, name, sig, stage):
    "Start a run, signal it when `stage` has a checkpoint; the folder, exit code and stderr."
    p = start(work, name)
    deadline = time.monotonic()+120
    while not (found := list((work/'experiments'/name).glob(f'*/checkpoints/{stage}/last.pt'))):
        assert p.poll() is None and time.monotonic()<deadline, p.communicate()
        time.sleep(.01)
    p.send_signal(sig)
    err = p.communicate(timeout=60)[1]
    return found[0].parents[2], p.returncode, err

def same_result(a, b):
    for f in ('assignments.csv','lines.csv','excluded.csv'):
        x, y = pd.read_csv(a/f), pd.read_csv(b/f)
        # `evaluate` puts calls behind the lines of a run
        assert len(x.columns)>1 and (f=='lines.csv' or list(x)==list(y))
        pd.testing.assert_frame_equal(x, y[list(x)])
    za, zb = (np.load(r/'embeddings'/'latent_embeddings.npz') for r in (a, b))
    assert (za['latent']==zb['latent']).all()

@pytest.mark.parametrize('sig,stage',
    [(signal.SIGTERM, 'pretrain'), (signal.SIGINT, 'joint'), (signal.SIGKILL, 'joint')])
def test_a_stopped_run_says_so_and_goes_on_to_the_same_result(sig, stage, run, work):
    folder, code, err = interrupted(work, f'stopped-{sig.name}', sig, stage)
    assert not (folder/'assignments.csv').exists()
    if sig==signal.SIGKILL: assert code==-9 and 'killed' in impc('runs', cwd=work).stdout
    else:
        assert code==1 and f'--resume {folder}' in err and 'Traceback' not in err
        assert json.loads((folder/'metadata.json').read_text())['status']=='interrupted'
    refused(impc('evaluate', folder, cwd=work), '--resume')
    if sig==signal.SIGINT: return
    done = impc('train', '--resume', folder, cwd=work)
    assert done.returncode==0, done.stderr
    assert done.stdout.splitlines()[-1]==str(folder)
    same_result(folder, run)

def test_one_process_a_run(run, work):
    import fcntl
    copy = work/'experiments'/'locked'/run.name
    shutil.copytree(run, copy)
    meta = json.loads((copy/'metadata.json').read_text())
    (copy/'metadata.json').write_text(json.dumps(meta | dict(status='interrupted')))
    with open(copy/'.lock', 'a') as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        refused(impc('train', '--resume', copy, cwd=work), 'another process')
    shutil.rmtree(copy.parent)

def small_files(n): return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (n, n))

def test_a_full_disk_leaves_earlier_files(run, work, dirty):
    (work/'kept.csv').write_text('mine')
    before = tree(run)
    refused(impc('predict', run, 'dirty.csv', '--on-bad-rows', 'drop', '--out', 'kept.csv', '--force', cwd=work,
        preexec_fn=small_files(20_000)), 'kept', code=1)
    assert (work/'kept.csv').read_text()=='mine' and tree(run)==before and not list(work.glob('.*part'))
    done = impc('train', 'dirty.csv', '--on-bad-rows', 'drop', '--experiment-name', 'full', *FAST, cwd=work,
        preexec_fn=small_files(20_000))
    refused(done, 'last.pt', '--resume', code=1)
    folder = next((work/'experiments'/'full').iterdir())
    assert json.loads((folder/'metadata.json').read_text())['status']=='failed'

@pytest.mark.parametrize('file,spoil',
    [('weights.safetensors', lambda b: b[:-3]+bytes([b[-3]^1])+b[-2:]), ('model.json', lambda b: b[:len(b)//2])])
def test_a_spoilt_model_is_refused(file, spoil, run, work):
    copy = work/'spoilt'
    shutil.copytree(run/'model', copy)
    (copy/file).write_bytes(spoil((copy/file).read_bytes()))
    try: refused(impc('predict', copy, 'dirty.csv', '--on-bad-rows', 'drop', '--out', 'never.csv', cwd=work), file)
    finally: shutil.rmtree(copy)
    assert not (work/'never.csv').exists()

def test_baselines_get_two_phenotypes_where_the_model_finds_one(work, export):
    done = impc('train', 'clean.csv', '--experiment-name', 'one', 'pretrain_epochs=2', 'joint_epochs=2',
        'line_model.min_lines=1000', cwd=work)
    assert done.returncode==0, done.stderr
    run = Path(done.stdout.splitlines()[-1])
    done = impc('evaluate', run, cwd=work)
    assert done.returncode==0 and 'not assessed: one phenotype' in done.stderr, done.stderr
    found = {m['method']:m['phenotypes'] for m in json.loads((run/'metrics.json').read_text())['methods']}
    assert found['anchored model']==1 and found['k-means']==2

def test_a_foreign_folder_is_refused(work, export):
    (work/'foreign').mkdir()
    (work/'foreign'/'model.pkl').write_bytes(b'\x80\x04.')
    refused(impc('predict', 'foreign', 'clean.csv', '--out', 'never.csv', cwd=work), 'foreign')

def test_a_simulated_file_is_not_overwritten(work, export):
    refused(impc('simulate', '--out', 'clean.csv', cwd=work), 'clean.csv', '--force')

def test_the_demonstration(work):
    done = impc('demo', '--n', 800, cwd=work)
    assert done.returncode==0, done.stderr
    run = Path(done.stdout.splitlines()[-1])
    assert all(w in done.stdout for w in ('balanced_ari', 'planted', 'called', 'share')) and ('Missed: ' in done.stdout
        or 'No planted' in done.stdout), done.stdout
    planted = pd.read_csv(run/'cohort.csv').merge(pd.read_csv(run/'assignments.csv'),
        on='specimen_id').true_name.unique()
    assert len(planted)>3 and all(p in done.stdout for p in planted)
    assert max(len(l) for l in done.stderr.splitlines()
        if l.startswith(('note: ', '      ')))<=110 and 'no adequate controls' in ' '.join(done.stderr.split())
    assert (run/'report.html').is_file() and (run/'figures'/'profiles.png').is_file() and (run/'cohort.csv').is_file()

def test_the_benchmark_goes_on_where_it_stopped(work, export):
    some = ['benchmark', '--n', 1500, '--seeds', 1, '--out', 'bench', '--methods']
    done = impc(*some, 'k-means', cwd=work)
    assert done.returncode==0 and 'seed 1 · k-means' in done.stderr, done.stderr
    first = pd.read_csv(work/'bench'/'benchmark.csv')
    done = impc(*some, 'k-means, tied mixture', cwd=work)
    assert done.returncode==0 and 'seed 1 · k-means' not in done.stderr and 'seed 1 · tied mixture' in done.stderr, done.stderr
    assert done.stdout.splitlines()[-1]==str(work/'bench') and 'balanced_ari' in done.stdout
    pd.testing.assert_frame_equal(pd.read_csv(work/'bench'/'benchmark.csv').head(1), first)
    assert '| tied mixture |' in (work/'bench'/'benchmark.md').read_text()
    for f in ('balanced_ari.png','balanced_ari.html','reliability.png','reliability.csv','benchmark.json'):
        assert (work/'bench'/f).is_file(), f
    refused(impc(*some, 'k-means', '--n-phenotypes', 3, cwd=work), 'bench', 'other settings', 'n_phenotypes')

@pytest.mark.parametrize('args,words',
    [(['--methods', 'k-means,magic'], ['magic', 'tied mixture']), (['--methods', 'none'], ['nothing to run']),
    (['--kind', 'real'], ['real', 'planted-null']), (['--kind', 'planted'], ['--data']),
    (['--seeds', '1,two'], ['--seeds', '1,two']),
    (['--epochs', '5'], ['--epochs', '2 whole']), (['--n', 'many'], ['--n', 'many']),
        (['--data', 'none.csv'], ['none.csv']), (['--data', 'few.csv'], ['controls']),
        (['--data', 'clean.csv', '--kind', 'simulated'], ['--data']), (['--device', 'abacus'], ['abacus']),
    (['--columns', 'mine.yaml'], ['--columns', '--data']), (['--n-phenotypes', 1], ['n-phenotypes']),
        (['--out', 'clean.csv'], ['clean.csv', 'holds no benchmark']),
    (['--generator', 'chnged'], ['--generator', 'did you mean `changed`']),
        (['--generator', 'changed', '--factors', 'severty'], ['--factors', 'did you mean `severity`']),
        (['--factors', 'drift'], ['--factors', '--generator changed'])])
def test_a_bad_benchmark_is_named(args, words, work, export):
    export[export.biological_sample_group!='control'].head(60).to_csv(work/'few.csv', index=False)
    refused(impc('benchmark', *args, *([] if '--methods' in args else ['--methods', 'k-means']), cwd=work), *words)
    assert not (work/'benchmarks').exists()

def test_real_records(data_dir, tmp_path):
    done = impc('train', data_dir/'abr_records.csv', '--experiment-name', 'real', '--seed', 42, 'pretrain_epochs=3',
        'joint_epochs=3', cwd=tmp_path)
    assert done.returncode==0, done.stderr
    run = Path(done.stdout.splitlines()[-1])
    a, e = pd.read_csv(run/'assignments.csv'), pd.read_csv(run/'excluded.csv')
    assert len(a)+len(e)==854 and len(spec(a) | spec(e))==854 and len(a)>=600
    for command in (['evaluate', run, '--bootstraps', 1, '--refits', 1], ['visualize', run],
            ['predict', run, data_dir/'abr_records.csv', '--out', 'p.csv']):
        done = impc(*command, cwd=tmp_path)
        assert done.returncode==0, done.stderr
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path/'p.csv'), a)
