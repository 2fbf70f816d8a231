"Runs and their tools: dry runs, going back, comparing, clearing, analyses and plug-ins, through the command."
import json, subprocess, sys
import numpy as np, pandas as pd
import pytest
from impc_phenotypes.runs.folder import RunFolder, kept_epochs
from impc_phenotypes.core.files import write_table
from impc_phenotypes.data.simulate import simulate_cohort, to_impc

FAST = ['--preset', 'classic', '--n-phenotypes', '3', 'pretrain_epochs=3', 'joint_epochs=3', 'kl_warmup=0',
    'loss_warmup=0']

@pytest.fixture(scope='module')
def work(tmp_path_factory):
    folder = tmp_path_factory.mktemp('runs')
    write_table(to_impc(simulate_cohort(800, seed=1)), folder/'abr.csv')
    return folder

@pytest.fixture
def impc(work, monkeypatch, capsys):
    from impc_phenotypes.cli.main import main
    monkeypatch.chdir(work)
    def run(*args):
        code = 0
        try: main([str(a) for a in args])
        except SystemExit as e: code = e.code or 0
        out, err = capsys.readouterr()
        assert 'Traceback' not in err
        return code, out, err
    return run

def train(impc, name, *more):
    code, out, err = impc('train', 'abr.csv', '--experiment-name', name, *FAST, *more)
    assert code==0, err
    return RunFolder(out.splitlines()[-1])

def test_a_dry_run_loads_nothing(work):
    code = ("import sys; from impc_phenotypes.cli.main import main\ntry: "
        "main(['train','abr.csv','latent.dim=7','--dry-run'])\nexcept SystemExit: "
        "pass\nprint(sorted({'torch','fastai','sklearn','plotly'} & set(sys.modules)))")
    done = subprocess.run([sys.executable, '-c', code], cwd=work, capture_output=True, text=True)
    assert done.returncode==0 and 'changed: model.latent.dim' in done.stdout and done.stdout.splitlines()[
        -1]=='[]', done
    assert not (work/'experiments').exists()

@pytest.mark.parametrize('args,words',
    [(['none.csv'], ['none.csv']), ([], ['no data file']),
    (['abr.csv', 'latnt.dim=2'], ['did you mean `model.latent.dim`']),
    (['abr.csv', '--experiment-name', '../up'], ['../up']), (['--resume', 'nothing'], ['nothing']),
    (['abr.csv', '--model', 'nothing'], ['--model'])])
def test_a_dry_run_refuses_what_a_run_would(args, words, impc):
    code, _, err = impc('train', *args, '--dry-run')
    assert code==2 and all(w in err for w in words), err

def test_a_run_goes_back_to_an_epoch_and_ends_where_it_ended(impc):
    run = train(impc, 'back', 'checkpoints.keep=2')
    first = (run/'assignments.csv').read_bytes(), np.load(run/'embeddings'/'latent_embeddings.npz')['latent']
    assert kept_epochs(run)==[2,4,6]
    assert all({p.name for p in (run/f'epoch_{n:04d}').iterdir()}=={'checkpoint.pt','latent.npz','latent.png',
        'metrics.json'} for n in (2,4,6))
    assert ('membership' not in np.load(run/'epoch_0002'/'latent.npz')
        and json.loads((run/'epoch_0006'/'metrics.json').read_text())['epoch']==6)
    d = run.metadata['durations']
    assert d['train']+d['analyses']<=d['total'], 'what is looked at does not count as training'
    assert impc('evaluate', '--checkpoint', run/'epoch_0006'/'checkpoint.pt')[0]==0
    for start,epochs in (('4', 6), ('2', 6), ('fresh', 6), ('latest', 6)):
        code, _, err = impc('train', '--resume', 'back', '--from', start)
        assert code==0, err
        assert (run/'assignments.csv').read_bytes()==first[0] and len(pd.read_csv(run/'history.csv'))==epochs
        np.testing.assert_array_equal(np.load(run/'embeddings'/'latent_embeddings.npz')['latent'], first[1])
    code, _, err = impc('train', '--resume', 'back', '--from', '3')
    assert code==2 and 'epoch `3`' in err and '2, 4, 6' in err and run.status=='done'
    assert impc('train', 'abr.csv', '--from', '3')[0]==2

def test_runs_are_compared_and_cleared(impc, work):
    a, b = train(impc, 'a'), train(impc, 'b', 'latent.dim=7', 'checkpoints.keep=3')
    code, out, err = impc('runs', 'compare', 'a', 'b')
    assert code==0 and 'model.latent.dim' in out and 'adjusted Rand' in out, err
    assert impc('runs', 'compare', 'a', 'a')[0]==2
    b.update(status='failed')
    assert 'nothing was deleted' in impc('runs', 'clean', '--experiment', 'b')[2] and b.path.exists()
    assert impc('runs', 'clean', '--experiment', 'b', '--older-than', 1, '--yes')[0]==0 and b.path.exists()
    assert impc('runs', 'clean', '--yes', '--experiment', 'b')[0]==0 and not b.path.exists() and a.path.exists()
    code, out, _ = impc('runs', 'clean', '--checkpoints', '--experiment', 'a', '--yes')
    assert code==0 and not (a/'checkpoints').exists() and a.status=='done'
    assert impc('runs', 'clean', '--status', 'broken')[0]==2
    assert b.name not in impc('runs', 'list')[1]

def test_analyses_are_kept_recomputed_and_refused(impc):
    run = train(impc, 'looked')
    code, out, err = impc('analyze', 'looked')
    assert code==0 and out.splitlines()[-1]==str(run/'analyses'), err
    assert {'profiles.csv','profiles.png','profiles.json','leakage.csv',
        'comparison.csv'} <= {p.name for p in (run/'analyses').iterdir()}
    assert 'selection: not applicable' in err and 'stability' not in err
    total = run.metadata['durations']['total']
    assert 'kept' in impc('analyze',
        'looked')[2] and run.metadata['durations']['total']==total, 'analyses must not count as training time'
    before = (run/'analyses'/'sizes.json').stat().st_mtime_ns
    assert impc('analyze', 'looked', '--only',
        'sizes')[0]==0 and (run/'analyses'/'sizes.json').stat().st_mtime_ns>before
    code, _, err = impc('analyze', 'looked', '--only', 'profils')
    assert code==2 and 'did you mean `profiles`' in err
    code, out, _ = impc('runs', 'compare', 'looked', train(impc, 'other').path)
    assert code==0 and 'profiles: largest_offset' in out

def test_a_plug_in_of_another_package_is_found_and_its_fault_is_its_own(impc, work, monkeypatch):
    (work/'extra_looks.py').write_text("import pandas as pd\nfrom impc_phenotypes.runs.analyses import "
        "Analysis\nclass Genes(Analysis):\n    'Genes of each phenotype.'\n    columns = ('phenotype','genes')\n"
        "    def generate(self, s): return "
        "s.phenotypes.lines.groupby('phenotype').gene_symbol.nunique().rename('genes').reset_index()\n    def "
        "metrics(self, t): return dict(most=int(t.genes.max()))\nclass Broken(Analysis):\n    def generate(self, "
        "s): raise KeyError('weight')\n")
    info = work/'extra_looks-0.1.dist-info'
    info.mkdir()
    (info/'METADATA').write_text('Metadata-Version: 2.1\nName: extra-looks\nVersion: 0.1\n')
    (info/'entry_points.txt').write_text(
        '[impc_phenotypes.analyses]\ngenes = extra_looks:Genes\nbroken = extra_looks:Broken\n')
    monkeypatch.syspath_prepend(str(work))
    assert 'extra-looks' in impc('plugins', 'list', 'analyses')[1] and 'Genes of each phenotype' in impc('plugins',
        'inspect', 'genes')[1]
    run = train(impc, 'extra')
    code, out, err = impc('analyze', 'extra', '--only', 'genes,broken,sizes')
    assert (code==1 and 'broken: failed, KeyError' in err
        and json.loads((run/'analyses'/'genes.json').read_text())['metrics']['most']>0
        and (run/'analyses'/'sizes.json').is_file())
    assert impc('plugins', 'inspect', 'gens')[0]==2 and impc('plugins', 'list', 'model')[0]==2

def test_every_registered_plug_in_loads():
    from impc_phenotypes.core.registry import load_plugin, plugins
    own = plugins().query("package=='impc_phenotypes'")
    assert len(own)>=15
    for p in own.itertuples(): assert load_plugin(p.kind, p.name).__doc__, p.name

def test_any_registered_model_trains(impc, work):
    code, out, err = impc('train', 'model=tied_mixture', 'data=abr.csv', 'k=4', '--seed', 3, '--experiment-name',
        'mixture')
    assert code==0, err
    run = RunFolder(out.splitlines()[-1])
    assert (run.metadata['model'], run.metadata['parameters'], run.status)==('tied_mixture', dict(n_phenotypes=4),
        'done')
    assert (pd.read_csv(run/'assignments.csv').phenotype.nunique()==4
        and 'tied_mixture' in (run/'MODEL_CARD.md').read_text()
        and 'ContrastiveVAE' not in (run/'MODEL_CARD.md').read_text())
    for command in (('evaluate', '--bootstraps', 1, '--refits', 0, '--no-biology'), ('analyze',), ('report',),
            ('visualize',)):
        code, _, err = impc(command[0], 'mixture', *command[1:])
        assert code==0, err
    code, _, err = impc('predict', 'mixture', 'abr.csv', '--out', 'new.csv')
    assert code==2 and 'no registered model that places new rows' in err and not (work/'new.csv').exists()

@pytest.mark.parametrize('words,said',
    [(['model=tied_mixtur', 'data=abr.csv'], 'did you mean `tied_mixture`'),
    (['model=k_means', 'data=none.csv'], 'none.csv'),
    (['model=k_means', 'data=abr.csv', 'n_inits=3'], 'did you mean `n_init`'),
    (['model=k_means'], 'no data file'), (['model=contrastive_vae_dec', 'data=digits'], 'fitted to mice'),
        (['model=k_means', 'data=abr.csv', '--preset', 'classic'], '--preset'),
        (['abr.csv', 'model=k_means', 'data=abr.csv'], 'name one'),
    (['model=k_means', 'data=digts'], 'did you mean `digits`'),
        (['model=k_means', 'data=digits', 'data.max_row=9'], 'did you mean `data.max_rows`'),
        (['model=k_means', 'data=table:none.csv'], 'none.csv'),
        (['model=line_mixture', 'data=digits'], 'fitted to mice'),
    (['model=k_means', 'data=digits', '--columns', 'map.yaml'], '--columns'),
        (['model=factor_mixture', 'data=digits', 'n_factor=2'], 'did you mean `n_factors`'),
        (['model=k_means', 'data=abr.csv', 'data.max_rows=9'], 'data.max_rows'),
    (['model=topics', 'data=digits'], 'no count'),
        (['model=k_means', 'data=digits', 'data.max_row=9', '--dry-run'], 'did you mean `data.max_rows`')])
def test_a_wrong_model_is_named(words, said, impc, work):
    code, _, err = impc('train', *words, '--output-dir', 'wrong')
    assert code==2 and said in err, err
    assert not (work/'wrong').exists()

@pytest.fixture(scope='module')
def plants(work): # three kinds, one cell empty; four of five rows are fitted
    from sklearn.datasets import load_iris
    X,y = load_iris(return_X_y=True)
    t = pd.DataFrame(X, columns=['sepal','width','petal','breadth']).assign(
        kind=np.array(['setosa','versicolor','virginica'])[y], name=[f'plant {i}' for i in range(150)],
        part=np.where(np.arange(150)%5, 'train', 'test'))
    t.loc[7, 'sepal'] = np.nan
    t.to_csv(work/'plants.csv', index=False)
    return t

PLANTS = ['train', 'model=factor_mixture', 'data=table:plants.csv', 'data.labels=kind', 'data.ids=name',
    'data.test=part', 'n_components=3', '--seed', 5, '--experiment-name']

def test_a_table_is_fitted_placed_and_read_again(plants, impc, work):
    runs = []
    for name in ('plants', 'again'):
        code, out, err = impc(*PLANTS, name)
        assert code==0, err
        runs.append(RunFolder(out.splitlines()[-1]))
    run,other = runs
    assert {'config.yaml','metadata.json','metrics.json','assignments.csv','prototypes.csv','figures/clusters.png',
        'figures/observations.png','model/estimator.json',
        'model/estimator.npz'} <= {p.relative_to(run.path).as_posix() for p in run.path.rglob('*')}
    for f in ('assignments.csv','prototypes.csv'): assert (run/f).read_bytes()==(other/f).read_bytes()
    meta,a = run.metadata,pd.read_csv(run/'assignments.csv').set_index('id')
    assert (meta['model'], meta['status'], meta['seed'], meta['data']['source'])==('factor_mixture', 'done', 5,
        f'table:{work/"plants.csv"}') and len(meta['data']['sha256'])==64
    assert (a.part==plants.set_index('name').part[a.index]).all() and np.allclose(a.filter(like='membership').sum(1),
        1)
    code, _, err = impc('predict', 'plants', 'plants.csv', '--out', 'placed.csv')
    assert code==0, err
    p = pd.read_csv(work/'placed.csv').set_index('id')
    assert (p.part=='new').all() and (p.cluster==a.cluster[p.index]).all()
    np.testing.assert_allclose(p.filter(like='membership'), a.loc[p.index].filter(like='membership'), atol=1e-9)
    code, out, err = impc('analyze', 'plants')
    assert code==0 and 'profiles: not applicable' in err and 'agreement: done' in err, err
    code, out, err = impc('runs', 'compare', 'plants', 'again')
    assert code==0 and '1.000' in out and 'plants' in impc('runs', 'list')[1], err
    assert impc('evaluate', 'plants')[0]==2

def test_labels_of_the_test_part_change_no_fit_and_no_name(plants, impc, work):
    "Metrics of the train part and all clusters stay when the test part's labels are shuffled; its accuracy falls."
    # more rows to mislead than to learn from
    honest = plants.assign(part=np.where(np.arange(150)%5<2, 'train', 'test'))
    held = honest.part=='test'
    lied = honest.copy()
    lied.loc[held, 'kind'] = np.roll(honest.kind[held], held.sum()//3)
    found = []
    for f,t in {'honest.csv':honest, 'lied.csv':lied}.items():
        t.to_csv(work/f, index=False)
        code, out, err = impc(*[w.replace('plants.csv', f) if isinstance(w, str) else w for w in PLANTS], 'labels')
        assert code==0, err
        run = RunFolder(out.splitlines()[-1])
        found.append(((run/'assignments.csv').read_bytes(),
            json.loads((run/'metrics.json').read_text())['methods'][0]))
    (a,true),(b,lie) = found
    assert a==b and all(lie[k]==v for k,v in true.items() if not k.endswith('_test')
        and k!='seconds') and lie['log_likelihood_test']==true['log_likelihood_test']
    assert (true['accuracy_hungarian_test']>.8 and lie['accuracy_hungarian_test']<.2
        and lie['accuracy_majority_test']<.2 and lie['nmi_test']==pytest.approx(true['nmi_test']))

def test_placing_rows_spares_what_is_there(plants, impc, work):
    code, out, err = impc(*PLANTS, 'spare')
    run = RunFolder(out.splitlines()[-1])
    before = (work/'plants.csv').read_bytes(), (run/'assignments.csv').read_bytes()
    for data,to,said in (('plants.csv','plants.csv','the data itself'),
            ('table:plants.csv','plants.csv','the data itself'),
            ('plants.csv',run/'assignments.csv','belongs to a run'), ('none.csv','q.csv','none.csv'),
            ('plants.csv','q.txt','.csv'), ('digits','q.csv','lacks 4 columns')):
        code, _, err = impc('predict', 'spare', data, '--out', to, '--force')
        assert code==2 and said in err, (data, to, err)
    assert before==((work/'plants.csv').read_bytes(),
        (run/'assignments.csv').read_bytes()) and not (work/'q.csv').exists()

def test_a_column_of_labels_that_is_empty_is_none(plants, impc, work):
    plants.assign(kind='').to_csv(work/'unnamed.csv', index=False)
    code, _, err = impc('train', 'model=k_means', 'data=table:unnamed.csv', 'data.labels=kind', 'data.ids=name',
        'data.test=part', 'n_components=3', '--experiment-name', 'unnamed')
    assert code==0 and 'accuracy' not in err, err
    code, _, err = impc('analyze', 'unnamed')
    assert code==0 and 'agreement: not applicable, no classes are known' in err, err

def test_rows_of_other_splits_are_not_matched(impc):
    runs = []
    for s in (0, 1, 1):
        code, out, err = impc('train', 'model=k_means', 'data=digits', f'data.random_state={s}', 'data.max_rows=300',
            'n_init=1', '--experiment-name', 'digits')
        assert code==0, err
        runs.append(out.splitlines()[-1])
    assert 'only between runs of one source' in impc('runs', 'compare', *runs[:2])[2]
    assert '1.000' in impc('runs', 'compare', *runs[1:])[1].split('agreement')[-1]

def test_a_dry_run_of_a_model_prints_its_settings(impc, work):
    code, out, err = impc('train', 'model=factor_mixture', 'data=mnist:nowhere', 'k=4', '--dry-run', '--output-dir',
        'dry')
    assert code==0 and not (work/'dry').exists(), err
    row = lambda name: next(l for l in out.splitlines() if f' {name} ' in l)
    assert ('4' in row('n_components') and 'command line' in row('n_components') and 'preset' in row('noise_floor')
        and 'default' in row('max_iter') and 'seed' in row('random_state'))

def test_a_kept_model_places_mice_where_the_run_did(impc, work):
    code, out, err = impc('train', 'model=factor_mixture', 'data=abr.csv', 'k=3', '--experiment-name', 'factors')
    assert code==0, err
    a = pd.read_csv(RunFolder(out.splitlines()[-1])/'assignments.csv').set_index('specimen_id')
    mice = pd.read_csv(work/'abr.csv').sample(frac=1, random_state=0) # the order of a file means nothing
    mice.loc[mice.index[:3], 'phenotyping_center'] = 'Elsewhere'
    mice.to_csv(work/'shuffled.csv', index=False)
    code, _, err = impc('predict', 'factors', 'shuffled.csv', '--out', 'mice.csv')
    assert code==0, err
    p,gone = pd.read_csv(work/'mice.csv').set_index('specimen_id'),pd.read_csv(work/'mice_excluded.csv')
    assert len(p)+len(gone)==len(mice) and gone.reason.str.contains('Elsewhere').sum()==3
    both = p.index.intersection(a.index)
    assert len(both)>300
    np.testing.assert_allclose(p.loc[both].filter(like='membership'), a.loc[both].filter(like='membership'), atol=1e-9)

def test_repeats_count_their_seeds_up_and_are_averaged(impc):
    code, out, err = impc('train', 'model=tied_mixture', 'data=abr.csv', 'k=4', '--seed', 5, '--experiment-name',
        'thrice', '--repeats', 3)
    assert code==0 and [RunFolder(p).metadata['seed'] for p in out.splitlines()]==[5,6,7] and ' sd ' in err, err
    code, out, err = impc('train', 'abr.csv', '--experiment-name', 'twice', *FAST, 'seed=9', '--repeats', 2)
    assert code==0 and [RunFolder(p).metadata['seed'] for p in out.splitlines()]==[9,10] and ' sd ' in err, err
    assert impc('train', '--resume', 'thrice', '--repeats', 2)[0]==2

def test_the_log_level_governs_messages_and_leaves_results(impc):
    def said(*words):
        code, out, err = impc('train', 'abr.csv', *FAST, '--experiment-name', 'levels', *words)
        assert code==0 and RunFolder(out.splitlines()[-1]).status=='done', err
        return err
    usual, quiet, every = said(), said('-q'), said('--log-level=debug')
    assert '800 mice' in usual and 'epoch' not in usual and not quiet
    assert every.count('joint epoch')==3 and 'pretrain epoch 1: train' in every and '800 mice' in every
    code, out, err = impc('train', 'none.csv', '-q')
    assert code==2 and err.startswith('error: ') and 'none.csv' in err
    code, _, err = impc('runs', 'list', '--log-level', 'loud')
    assert code==2 and 'debug, info, warning, error' in err
    assert '800 mice' in said(), 'the level of one command must not stay'

def test_a_factor_mixture_sees_holes_and_ceilings(work):
    from impc_phenotypes.data.rows import mouse_rows
    from impc_phenotypes.runs.recipe import build_model
    from impc_phenotypes.data.controls import match_controls
    from impc_phenotypes.data.records import read_records
    m = match_controls(read_records(work/'abr.csv'))
    model = build_model('factor_mixture', {}, 0)
    rows = mouse_rows(model, m)
    x,words = rows.X,rows.words(model.fit)
    assert (np.isnan(x)==~m.mask).all() and np.isnan(x).any() and words['censored'].any()
    np.testing.assert_array_equal(words['censored'], m.censored)
    np.testing.assert_array_equal(rows.take([3,1]).words(model.predict_proba)['censored'], m.censored[[3,1]])

@pytest.mark.parametrize('data', ['digits', 'abr.csv'])
def test_a_fit_that_is_told_to_stop_says_so(data, impc, work):
    code = (f"import os, signal; from impc_phenotypes.cli.main import main; from sklearn.cluster import "
        f"KMeans\nKMeans.fit = lambda *a, **k: os.kill(os.getpid(), "
        f"signal.SIGTERM)\nmain(['train','model=k_means','data={data}','--experiment-name','told'])")
    done = subprocess.run([sys.executable, '-c', code], cwd=work, capture_output=True, text=True, timeout=100)
    assert done.returncode==1 and 'stopped by SIGTERM' in done.stderr and 'Traceback' not in done.stderr, done.stderr

def test_the_network_is_a_model_like_any_other(impc, work):
    made = []
    for words in (['abr.csv', '--preset', 'classic', '--n-phenotypes', '4'],
            ['model=contrastive_vae_dec', 'data=abr.csv', 'preset=classic', 'k=4']):
        code, out, err = impc('train', *words, *FAST[4:], '--seed', 3, '--experiment-name', 'network')
        assert code==0, err
        made.append(RunFolder(out.splitlines()[-1]))
    assert {r.metadata['model'] for r in made}=={'contrastive_vae_dec'} and made[0].recipe==made[1].recipe
    assert (made[0]/'assignments.csv').read_bytes()==(made[1]/'assignments.csv').read_bytes()

def test_a_run_of_an_earlier_format_is_named_with_the_version_that_reads_it(impc, work):
    code, out, err = impc('train', 'model=k_means', 'data=digits', 'n_init=1', '--experiment-name', 'older')
    assert code==0, err
    run = RunFolder(out.splitlines()[-1])
    said = run.metadata
    del said['format']
    (run/'metadata.json').write_text(json.dumps(said))
    code, _, err = impc('analyze', run.path)
    assert code==2 and f"impc_phenotypes {said['versions']['impc_phenotypes']}; that version reads it" in err, err
