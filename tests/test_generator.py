"""The second generator and what is measured with it: defaults stay, changes say what they do, ceilings and calibration
stand beside."""
import hashlib
import numpy as np, pandas as pd
import pytest
from impc_phenotypes.core.errors import InputError
from impc_phenotypes.data.plant import CHANGES, ControlCopula, change, plant_cohort
from impc_phenotypes.procedures.abr import THRESHOLDS
from impc_phenotypes.data.simulate import simulate_cohort
from impc_phenotypes.evaluation.benchmark import Benchmark, run_benchmark
from impc_phenotypes.core.registry import HERE
from impc_phenotypes.evaluation.methods import ORACLE, Found

@pytest.fixture(scope='module')
def controls(): return simulate_cohort(6000, seed=1, controls=.4)

@pytest.fixture(scope='module')
def copula(controls): return ControlCopula().fit(controls)

def mark(cohort):
    told = cohort.frame.drop(columns='life_stage_name') # an empty column that came later
    return hashlib.sha256(told.to_csv(index=False, float_format='%.6g').encode()).hexdigest()[:16]

def test_cohorts_of_before_are_unchanged(copula):
    assert mark(simulate_cohort(600, seed=3))=='b4d0097d65cfb6a0' and mark(
        plant_cohort(copula, 1500, seed=3))=='e2e77d3ff1bc127a', 'benchmarks that were measured stand on these cohorts'

@pytest.mark.parametrize('name', CHANGES)
def test_nobody_is_affected_in_a_null_cohort(name, copula):
    for cohort in (simulate_cohort(1500, seed=1, null=True, **change(name)),
            plant_cohort(copula, 1500, seed=1, null=True, **change(name))):
        assert not cohort.frame[['true_phenotype','true_class']].to_numpy().any()
        assert (cohort.thresholds[cohort.mask]<=np.repeat(cohort.ceilings[:,:1], 6, 1)[cohort.mask]).all()

@pytest.mark.parametrize('make', ['simulated','planted'])
def test_a_change_leaves_the_rest_alone(make, copula):
    def made(**kw):
        return (simulate_cohort(3000, seed=5, missing=False, **kw) if make=='simulated'
            else plant_cohort(copula, 3000, seed=5, missing=False, dates=True, **kw)).frame
    one,moved = made(),made(drift=2.)
    shift = moved[list(THRESHOLDS)].to_numpy()-one[list(THRESHOLDS)].to_numpy()
    assert moved.drop(columns=list(THRESHOLDS)).equals(one.drop(columns=list(THRESHOLDS)))
    years = pd.to_datetime(moved.date_of_experiment).map(pd.Timestamp.toordinal)/365.25
    inside = years-years.groupby(moved.phenotyping_center).transform('mean')
    normal = (moved.true_phenotype==0).to_numpy()
    got = np.nanmean(shift[:,:4], 1)
    assert np.polyfit(inside[normal],
        got[normal]-pd.Series(got).groupby(moved.phenotyping_center).transform('mean')[normal], 1)[0]==pytest.approx(2,
        abs=.2)

def test_a_batch_is_a_matter_of_one_laboratory_and_its_lines(copula):
    for make in (lambda **kw: simulate_cohort(3000, seed=2, missing=False, **kw),
            lambda **kw: plant_cohort(copula, 3000, seed=2, missing=False, **kw)):
        one,other = make(),make(batch_sd=8.)
        moved = (np.nan_to_num(one.thresholds)!=np.nan_to_num(other.thresholds)).any(1)
        assert moved.any() and one.frame.phenotyping_center[moved].nunique()==1 and not (moved & one.is_control).any()

def truth_of(job): return Found(np.eye(job.n_phenotypes)[job.true()])

def test_a_changed_benchmark_has_its_ceiling_and_goes_on(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setitem(HERE, ('benchmark', ORACLE), lambda job: calls.append(1) or truth_of(job))
    kw = dict(n=1000, methods=('k-means',), generator='changed', out=tmp_path/'b')
    run_benchmark('simulated', seeds=(1,), factors=('severity',), **kw)
    b = run_benchmark('simulated', seeds=(1,2), factors=('severity','all, 2 % of lines'), **kw)
    assert len(calls)==6 and len(b)==12
    c = b.changed()
    assert list(c.loc[('simulated',1000,'k-means')].index)==['unchanged','severity',
        'all, 2 % of lines'] and (c['seeds','n']==2).all()
    plain = c.xs('k-means', level='method')
    assert np.allclose(plain['against ceiling','mean'],
        plain['balanced_ari','mean']-1) and np.allclose(plain['ceiling','mean'], 1)
    assert c[('against ceiling','mean')].xs(ORACLE, level='method').isna().all()
    again = Benchmark.load(tmp_path/'b')
    pd.testing.assert_frame_equal(again.changed(), c)
    text = b._repr_markdown_()
    assert ('What each change of the generator costs' in text and 'anchored, network' in text
        and 'classic, network did not run' in text)

def forecaster(sharper):
    """Says .1 … .9 of all affected mice and of as many normal ones, so that what is said is true; `sharper` > 1
    overstates it."""
    said = np.array([.1,.3,.5,.7,.9])
    def method(job):
        rng,true = np.random.default_rng(job.seed),job.true()>0
        doubt = np.r_[np.flatnonzero(true), rng.choice(np.flatnonzero(~true), true.sum(), replace=False)]
        u = np.where(true[doubt], rng.choice(said, len(doubt), p=said/said.sum()),
            rng.choice(said, len(doubt), p=(1-said)/(1-said).sum()))
        p = np.zeros(len(true))
        p[doubt] = u**sharper/(u**sharper+(1-u)**sharper)
        return np.c_[1-p,p]
    return method

def test_a_perfect_forecaster_has_no_excess_and_a_bold_one_has(monkeypatch):
    for name,sharper in (('perfect',1),('bold',3)): monkeypatch.setitem(HERE, ('benchmark', name), forecaster(sharper))
    c = run_benchmark('simulated', 1000, tuple(range(10)),
        methods=('perfect','bold')).calibration().reset_index('method').set_index('method')
    assert (c.cohorts==10).all() and c.mice_in_doubt['perfect']>400
    assert (abs(c.excess['perfect'])<.025 and c.error['perfect']<c.floor_95['perfect']
        and c.error['bold']>2*c.floor_95['bold'])

@pytest.mark.parametrize('kw,words',
    [(dict(generator='chnged'), 'did you mean `changed`'),
    (dict(generator='changed', factors=('severty',)), 'did you mean `severity`'),
    (dict(factors=('drift',)), 'changed'), (dict(kind='simulatd'), 'did you mean `simulated`')])
def test_a_wrong_name_is_answered_with_the_right_one(kw, words, tmp_path):
    with pytest.raises(InputError, match=words):
        run_benchmark(**(dict(kind='simulated', n=500, seeds=(1,), out=tmp_path/'b') | kw))
    assert not (tmp_path/'b').exists()
