"What the number of phenotypes rests on: each rule is broken on purpose once."
from dataclasses import replace
import numpy as np, pandas as pd, pytest, torch
from impc_phenotypes.data.controls import match_controls
from impc_phenotypes.data.cohort import Cohort
from impc_phenotypes.data.simulate import simulate_cohort
from impc_phenotypes.calls.lines import call_lines
from impc_phenotypes.calls.sexes import fdr
from impc_phenotypes.data.records import read_records
from impc_phenotypes.models import background, line_mixture, line_null
from impc_phenotypes.procedures.abr import ABR, THRESHOLDS
from impc_phenotypes.models.background import normal_mice
from impc_phenotypes.models.config import LineModelConfig
from impc_phenotypes.models.line_evidence import Normal, Tables, line_icc
from impc_phenotypes.models.line_mixture import LineMixture, _copies
from impc_phenotypes.models.pseudo_lines import PseudoLines, line_mice

QUICK = LineModelConfig(n_starts=3, refine=1, null_cohorts=0, calibration_lines=0)

@pytest.fixture(scope='module')
def null(): return match_controls(simulate_cohort(2500, seed=5, null=True))

@pytest.fixture(scope='module')
def planted():
    return match_controls(simulate_cohort(2500, seed=5, affected=.08, controls=.3,
        shapes={'flat':(40.,)*6, 'high':(0.,4.,14.,42.,44.,6.)}))

@pytest.fixture(scope='module')
def fitted(planted): return LineMixture(QUICK, n_phenotypes=3).fit(planted)

def test_single_mice_do_not_pay_for_a_phenotype(null):
    "With the sporadic term left out of `normal`, the same null cohort gives its phenotype more than it costs."
    model = LineMixture(QUICK, n_phenotypes=2).fit(null)
    task = model._task(line_mice(null, model.background_, np.flatnonzero(null.usable_line & null.drives_fit)),
        model._wild_types(null))
    with torch.no_grad():
        fair = model._em(task, model._starts(task.profile, 1, 1)[0], 30)
        whole = fair['ll']-float(Normal(task.L).evidence(task.L).sum())
    cost = line_mixture._cost(task.n_lines)
    assert fair['support'].max()<cost
    assert whole>cost>fair['gain']+5 # what a baseline without sporadic mice would have credited to the phenotype

def _stand(fitted, planted, **change):
    "The rules, asked of a fit of which one figure is changed."
    m = fitted
    with torch.no_grad():
        task = m._task(line_mice(planted, m.background_, np.flatnonzero(planted.usable_line & planted.drives_fit)),
            m._wild_types(planted))
        fit = m._em(task, m.profiles_[1:], 20)
    m.need_,m.called_ = change.pop('need', 0.),change.pop('called', np.unique(planted.line[planted.line>=0]))
    return m._stands(task, fit | change)

def test_a_real_loss_stands(fitted, planted):
    ok,why = _stand(fitted, planted)
    assert ok.all() and why==''

@pytest.mark.parametrize('change, why', [
    (dict(need=1e6), 'chance'), (dict(support=np.array([1.,1e4])), 'cost'), (dict(apart=np.array([1e4,1.])), 'apart'),
        (dict(called=np.zeros(0, int)), 'uncalled'),
    (dict(deltas=torch.tensor([[5.]*6,[40.]*6], dtype=torch.float64)), 'small'),
        (dict(deltas=torch.tensor([[40.]*6,[36.]*6], dtype=torch.float64)), 'copy')])
def test_each_rule_can_refuse(fitted, planted, change, why):
    ok,said = _stand(fitted, planted, **change)
    assert not ok.all() and said==why and why in line_mixture.WHY

def test_copies():
    assert _copies([[40]*6,[20]*6,[0,5,15,40,45,5],[0,4,12,32,36,4]]).tolist()==[False,False,False,True]

def test_a_mouse_or_line_order_changes_nothing(fitted, planted):
    order = np.random.default_rng(0).permutation(len(planted))
    q,again = (fitted.predict(planted)[0],
        fitted.predict(match_controls(planted.cohort.subset(order), reference=planted.reference))[0])
    np.testing.assert_allclose(again, q[order], atol=1e-6)

def test_pseudo_lines_share_what_real_lines_share(planted):
    "Line effects as ranks, the group's misfit, and no control twice in a line while there are enough."
    m = LineMixture(QUICK, n_phenotypes=3).fit(planted)
    p = PseudoLines(m.background_, planted, m.icc_, m.centre_+.5)
    mice,rows = p.draw(seed=1)
    z = m.background_.log_density_of(mice.offset, mice.group)[1]
    z[np.isnan(mice.offset)] = np.nan
    free = PseudoLines(m.background_, planted, m.icc_*0, m.centre_*0).draw(seed=1)[0]
    means = lambda o, v: pd.DataFrame(v).groupby(o.line).mean()[2]
    zf = m.background_.log_density_of(free.offset, free.group)[1]
    assert np.nanmedian(z[:,:5])>.25 and means(mice, z).std()>1.15*means(free, zf).std()

def _few(m, keep): return match_controls(m.cohort.subset(keep))

@pytest.mark.parametrize('case', ['nine lines','one laboratory','one sex','all lines affected','60 % affected',
    'one litter','no controls in some groups','dates equal'])
def test_unusual_cohorts_run_or_say_why(planted, case):
    f = planted.cohort.frame
    hurt = planted.cohort.frame.true_class.to_numpy()>0
    control = planted.cohort.is_control
    keep,frame = np.ones(len(f), bool),f
    if case=='nine lines': keep = control | np.isin(planted.line, np.unique(planted.line[planted.usable_line])[:9])
    if case=='one laboratory': keep = (f.phenotyping_center=='HMGU').to_numpy()
    if case=='one sex': keep = (f.sex=='male').to_numpy()
    if case=='all lines affected': keep = control | hurt
    if case=='60 % affected': keep = control | hurt | (np.arange(len(f))%22==0)
    if case=='one litter': frame = f.assign(litter_id='L1')
    if case=='no controls in some groups':
        keep = ~(control & f.phenotyping_center.isin(['UC Davis','WTSI','TCP']).to_numpy())
    if case=='dates equal': frame = f.assign(date_of_experiment='2015-01-01')
    m = match_controls(Cohort(frame).subset(keep))
    model = LineMixture(QUICK).fit(m)
    q,lines = model.predict(m)
    assert np.allclose(q.sum(1), 1) and np.isfinite(q).all()
    truth = m.cohort.frame.true_phenotype.to_numpy()>0
    if case in ('all lines affected','60 % affected'): assert (q.argmax(1)[truth]>0).mean()>.5

def test_tables_point_to_zero_where_nothing_was_measured(planted):
    bg = LineMixture(QUICK, n_phenotypes=3).fit(planted).background_
    t = Tables(bg)
    mice = line_mice(planted, bg, np.flatnonzero(planted.usable_line)[:50])
    base = t.base(mice.group, mice.mask, mice.at_ceiling)
    hole = ~torch.as_tensor(mice.mask.T.copy())
    assert hole.any() and (t.z[base[hole]]==0).all() and (t.jac[base[hole]]==0).all()

def test_a_step_without_any_pair_leaves_the_profiles(fitted, planted):
    "In a small export every pair may drop out between two full passes; it ended `train` on real records."
    with torch.no_grad():
        task = fitted._task(line_mice(planted, fitted.background_,
            np.flatnonzero(planted.usable_line & planted.drives_fit)), fitted._wild_types(planted))
        s = fitted._state()
        st = line_mixture._State(fitted.tables_, len(task.L), len(s['deltas']))
        st.on = torch.zeros(len(task.L), len(s['deltas']), dtype=torch.bool)
        st.ev.fill_(-1e3)
        task.stray.h = None
        new = fitted._update(task, s, fitted._pass(task, s, st, False))
    assert torch.equal(new['deltas'], s['deltas']) and torch.isfinite(new['log_r']).all()

def test_a_laboratory_of_few_controls_learns_its_tail_from_lines(monkeypatch):
    "Nobody of this cohort is affected and laboratories have 0 to 120 controls. By controls alone lines are called."
    m = match_controls(simulate_cohort(2500, seed=8001, null=True))
    calls = lambda: int((fdr(line_null.line_p_values(m).p_value)<.05).sum())
    assert calls()==0
    monkeypatch.setattr(background, 'FEW_CONTROLS', 0)
    assert calls()>0

def test_normal_mice_hold_one_far_mouse_a_line_at_most(planted, monkeypatch):
    mean,line = np.nanmean(planted.offset[:,:5], 1),planted.line
    rows = np.concatenate([background.normal_mice(planted, g) for g in range(len(planted.groups))])
    far = rows[(mean[rows]>35) & planted.cohort.is_experimental[rows]]
    assert len(far)>5 and len(set(line[far]))==len(far)
    assert (mean[(line>=0) & planted.cohort.is_experimental]>35).sum()>3*len(far)
    monkeypatch.setattr(background, 'MANY_LINES', 10**6)
    assert all(planted.cohort.is_control[background.normal_mice(planted, g)].all() for g in range(len(planted.groups)))

def test_deaf_mice_of_a_chosen_table_are_not_normal(data_dir):
    "Few lines, several of them chosen because they are deaf: mice of 60 dB must not be learnt as normal."
    m = match_controls(read_records(data_dir/'abr_records.csv', verbose=False))
    deaf = np.nanmean(m.offset[:,:5], 1)>60
    q = LineMixture(seed=42).fit(m).predict(m)[0]
    assert deaf.sum()>=3 and (q[deaf,0]<.05).all()

def test_drawn_lines_share_their_place_and_know_the_tails_of_others():
    m = match_controls(simulate_cohort(2500, seed=5, null=True, controls=.3))
    nulls = sorted((o for o in line_null.rank_nulls(m).values() if o.n_controls>=60), key=lambda o: o.n_controls)
    x = nulls[-1].draws(4, 40_000).mean(2)
    far = x>np.quantile(x, .98)
    # 1 if poor hearers were dealt at random, 1.15 if tones alone were shared
    assert far.mean(1).var()>1.22*far.mean()*(1-far.mean())/4
    assert (nulls[0].draws(4, 20_000).max((0,1))>nulls[0].pool.max(0)+3).any() # a rank beyond the worst of few

def test_a_steep_loss_in_half_of_a_line_is_seen():
    "Four of seven mice deaf at some tones; a list of losses that ends at 32 dB sees it less well."
    cohort = simulate_cohort(3000, seed=31, null=True, controls=.5)
    at = np.array(cohort.line, object)
    line = next(k for k,n in pd.Series(at).value_counts().items() if n==7)
    frame, deaf, tones = cohort.frame.copy(), np.flatnonzero(at==line)[:4], list(THRESHOLDS[:5])
    loss = 5*np.round(60*np.array(ABR.losses['low'][0])/5)
    frame.loc[deaf, tones] = np.minimum(frame.loc[deaf, tones].to_numpy(float)+loss, 100)
    mild = {k:(shape, [v for v in sizes if v<=32 or k=='mean']) for k,(shape,sizes) in ABR.losses.items()}
    p_value = lambda procedure: line_null.line_p_values(
        match_controls(Cohort(frame, procedure=procedure))).set_index('line').p_value[line]
    full, short = p_value(ABR), p_value(replace(ABR, losses=mild))
    assert full<1e-3 and short>3*full

def test_line_variance_of_ranks_comes_out_as_planted(planted):
    "Four thousand drawn lines that share a quarter of the variance; a fifth less would halve the level of calls."
    rng,bg = np.random.default_rng(1),background.ControlBackground().fit(planted)
    R,k,n = np.full((5,5), .5)+.5*np.eye(5),4000,6
    draw = lambda size: rng.multivariate_normal(np.zeros(5), R, size=size)
    z = np.sqrt(.25)*np.repeat(draw(k), n, 0)+np.sqrt(.75)*draw(k*n)
    own = draw(5000)
    null = line_null._one_rank_null(bg.groups_[0], bg, z, own, len(own), own, np.repeat(np.arange(k), n),
        np.full(5, np.inf))
    assert abs(null.share.mean()-.25)<.025

def test_lines_chosen_for_a_loss_do_not_say_what_normal_is(planted):
    "A screen: every line far beyond its few controls; they are called, and that no rate can be given is said."
    f = planted.cohort.frame
    hgmu = f[f.phenotyping_center=='HMGU'].copy()
    deaf = hgmu.biological_sample_group=='experimental'
    hgmu.loc[deaf,list(THRESHOLDS)] = 90.
    c = call_lines(Cohort(hgmu.reset_index(drop=True)), draws=1000, by_sex=False)
    assert len(c.tested)>10 and c.tested.called.all()
    m = match_controls(c.matched.cohort)
    assert m.cohort.is_control[normal_mice(m, 0)].all() # none of these lines is lent to the controls
    assert any('No error rate can be given' in n for n in c.notes)
    assert not c.check().set_index('check').ok['error rate']

def test_a_tone_without_any_spread_is_survived(planted):
    f = planted.cohort.frame.copy()
    f.loc[f.phenotyping_center=='HMGU',THRESHOLDS[4]] = 90.
    q,_ = (m:=LineMixture(QUICK, n_phenotypes=3).fit(match_controls(Cohort(f)))).predict(match_controls(Cohort(f)))
    assert np.isfinite(q).all() and np.isfinite(m.icc_).all()
    z = np.c_[np.zeros(200), np.random.default_rng(0).normal(size=200)]
    assert 0<=line_icc(z, np.repeat(np.arange(50), 4), .9)<.3

def test_lines_count_from_their_own_middle_where_controls_stand_aside(planted):
    "Controls 12 dB better than everybody: most mice of lines still say what normal is."
    f = planted.cohort.frame
    one = f[f.phenotyping_center=='HMGU'].reset_index(drop=True)
    one.loc[one.biological_sample_group=='control',list(THRESHOLDS)] -= 12.
    m = match_controls(Cohort(one))
    lent = m.cohort.is_experimental[normal_mice(m, 0)].sum()
    assert lent>.92*(m.usable_line & m.cohort.is_experimental).sum()
