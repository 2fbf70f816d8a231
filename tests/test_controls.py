"""The ladder of controls: sex and year count, shrunk towards the group; a level that drifts is followed; a reference
keeps its own settings."""
import json, warnings
import numpy as np, pandas as pd, pytest
from impc_phenotypes.data.cohort import Cohort
from impc_phenotypes.data.controls import MIN_DATED, SHRINK, ControlReference, match_controls
from impc_phenotypes.procedures.abr import STEP, THRESHOLDS
from impc_phenotypes.data.simulate import simulate_cohort

def colony(n=150, gap=20., **columns):
    "One group: `n` male and `n` female controls that differ by `gap` dB, and four knockouts of each sex."
    sex = np.tile(['male','female'], n+4)
    x = np.repeat(30.+gap*(sex=='male')[:,None], 6, 1)+np.random.default_rng(0).integers(-1, 2, (2*n+8, 6))*STEP
    d = dict(specimen_id=[f'm{i}' for i in range(2*n+8)], phenotyping_center='Here', sex=sex,
        biological_sample_group=['control']*2*n+['experimental']*8,
        gene_symbol=[None]*2*n+['G1']*8, zygosity='homozygote')
    return Cohort(pd.DataFrame(d | columns | dict(zip(THRESHOLDS, x.T))))

@pytest.mark.parametrize('n', [50, 400])
def test_sexes_have_centres_of_their_own_shrunk_towards_the_group(n):
    m = match_controls(colony(n), ladder=('sex',))
    male = (m.cohort.frame.sex=='male').to_numpy()
    apart = m.center[male].mean(0)-m.center[~male].mean(0)
    np.testing.assert_allclose(apart, 20*n/(n+SHRINK), atol=1.5)
    assert set(m.step)=={'group+sex'} and set(m.n_reference)=={n}
    flat = match_controls(colony(n), ladder=())
    assert np.ptp(flat.center, axis=0).max()==0 and set(flat.step)=={'group'}

def test_the_default_ladder_sees_sex_and_strain():
    strain = np.where(np.arange(308)%4<2, 'C57BL/6N', 'C57BL/6J')
    m = match_controls(colony(150, strain_name=strain))
    assert len(np.unique(m.center[:,0]))==4 and set(m.step)=={'group+sex+strain'}
    male = (m.cohort.frame.sex=='male').to_numpy()
    assert m.center[male].min() > m.center[~male].max()

@pytest.mark.parametrize('form', [None, '%Y-%m-%d', '%Y-%m-%dT%H:%M:%SZ'])
def test_year_is_read_from_simulated_dates_and_from_strings(form):
    dates = simulate_cohort(3000, seed=4).frame.date_of_experiment
    year = pd.to_datetime(dates, utc=True).dt.year
    days = np.stack([dates[year==y].to_numpy(object)[:154] for y in (2015, 2016)], 1).ravel()
    late = np.tile([False, True], 154)
    if form: days = pd.to_datetime(pd.Series(days)).dt.strftime(form).to_numpy(object)
    f = colony(150, gap=0, date_of_experiment=days).frame.copy()
    f.loc[late, list(THRESHOLDS)] += 15
    m = match_controls(Cohort(f), ladder=('year',))
    assert set(m.step)=={'group+year'} and set(m.n_reference)=={150}
    np.testing.assert_allclose(m.center[late].mean(0)-m.center[~late].mean(0), 15*150/(150+SHRINK), atol=1.5)

def test_a_reference_brings_its_own_settings():
    m = match_controls(colony(), ladder=('sex',))
    ref = ControlReference.from_dict(m.reference.to_dict())
    for k,v in dict(ladder=(), min_controls=5, weak_controls=5, bulk_mice=9, drift=False).items():
        with pytest.raises(ValueError, match=f'`{k}`.*reference'): match_controls(colony(), reference=ref, **{k:v})
    assert match_controls(colony(), reference=ref).reference.ladder==('sex',)

def test_table_counts_the_mice_of_this_cohort():
    full = colony()
    ref = match_controls(full).reference
    few = full.subset(np.r_[:12, 300:308])
    t = match_controls(few, reference=ref).table().iloc[0]
    assert (t.mice, t.controls, t.placed)==(20, 12, 20)
    assert (match_controls(full).table()[['mice','controls']].to_numpy()==[[308, 300]]).all()

def moving(slope=2., n=200, dates=None, seed=0, deaf=0.):
    """One laboratory over eight years whose level rises by `slope` dB a year; ten lines of eight knockouts, each at
    one time, `deaf` dB above normal."""
    rng = np.random.default_rng(seed)
    t = np.r_[rng.uniform(0, 8, n), np.repeat(np.linspace(.2, 7.8, 10), 8)]
    x = 30+slope*(t-4)[:,None]+rng.normal(0, 5, (len(t),1))+rng.normal(0, 4, (len(t),6))
    x[n:] += deaf
    day = (pd.Timestamp('2012-01-01')+pd.to_timedelta(t*365.25, unit='D')).strftime('%Y-%m-%d').to_numpy(object)
    day = day if dates is None else dates(day)
    line = [f'G{i//8}' for i in range(80)]
    d = dict(specimen_id=[f'm{i}' for i in range(n+80)], phenotyping_center='Here',
        sex=np.where(np.arange(n+80)%2, 'male', 'female'), date_of_experiment=day,
        biological_sample_group=['control']*n+['experimental']*80, gene_symbol=[None]*n+line, zygosity='homozygote')
    return Cohort(pd.DataFrame(d | dict(zip(THRESHOLDS, (np.round(x/STEP)*STEP).T))))

def of_lines(m): return np.nanmean(m.offset[m.line>=0], 1).reshape(10, 8).mean(1)

def only(m): return next(iter(m.reference.groups.values()))

def test_knockouts_are_compared_with_the_level_of_their_time():
    c = moving()
    still,follow = (match_controls(c, drift=o) for o in (False, True))
    assert np.abs(of_lines(still)).max()>6 and np.abs(of_lines(still)).mean()>3
    moved = (follow.center-still.center)[follow.line>=0].mean(1).reshape(10, 8).mean(1)
    assert np.sqrt(np.mean((moved-2*(np.linspace(.2, 7.8, 10)-4))**2))<1
    assert np.abs(of_lines(follow)).mean()<2.5
    assert (only(follow)['scale'] < only(still)['scale']-1).all()
    assert 10 < follow.table().drift.item() < 18 and 'drifts by' in follow.notes[-1]
    assert still.table().drift.item()==0 and still.notes==()

def test_knockouts_do_not_move_the_smooth():
    plain,deaf = (match_controls(moving(deaf=o)) for o in (0, 45))
    assert only(plain)['drift'] is not None
    np.testing.assert_array_equal(only(plain)['drift']['level'], only(deaf)['drift']['level'])
    np.testing.assert_allclose(of_lines(deaf)-of_lines(plain), 45)
    flat = moving(slope=0, deaf=45).frame
    flat.loc[200:, list(THRESHOLDS)] += np.repeat(np.linspace(-20, 20, 10), 8)[:,None]
    assert only(match_controls(Cohort(flat)))['drift'] is None

def test_without_drift_nothing_changes():
    opened,groups = 0,0
    for seed in range(4):
        c = simulate_cohort(2500, seed=seed, controls=.3)
        m,ladder = match_controls(c),match_controls(c, drift=False)
        shut = np.array([m.reference.groups[g]['drift'] is None for g in m.groups])
        opened,groups = opened+(~shut).sum(),groups+len(shut)
        same = shut[m.group]
        np.testing.assert_array_equal(m.offset[same], ladder.offset[same])
        np.testing.assert_array_equal(m.scale[same], ladder.scale[same])
    assert groups>=40 and opened<=1

def test_drift_survives_json_and_is_constant_beyond_the_controls():
    c = moving()
    m = match_controls(c)
    d = json.loads(json.dumps(m.reference.to_dict(), allow_nan=False))
    again = match_controls(c.subset(c.is_experimental), reference=ControlReference.from_dict(d))
    np.testing.assert_array_equal(again.offset, m.offset[m.line>=0])
    level = only(m)['drift']['level']
    for day,k in (('1995-01-01', 0), ('2025-01-01', -1)):
        new = match_controls(Cohort(c.frame.iloc[-8:].assign(date_of_experiment=day)), reference=again.reference)
        bare = match_controls(Cohort(c.frame.iloc[-8:].assign(date_of_experiment=None)), reference=again.reference)
        np.testing.assert_allclose(new.center-bare.center, np.tile(level[k], (8,1)))
    del d['drift']
    for g in d['groups'].values(): del g['drift']
    old = match_controls(c, reference=ControlReference.from_dict(d))
    assert not old.reference.drift and not np.isnan(old.offset).any()
    np.testing.assert_array_equal(old.center, match_controls(c, drift=False).center)

@pytest.mark.parametrize('dates', [lambda d: None, lambda d: np.full(len(d), d[0], object),
    lambda d: np.full(len(d), 'a Tuesday', object), lambda d: np.full(len(d), np.nan),
    lambda d: np.full(len(d), '9999-99-99', object), lambda d: np.array([f'24{o[2:]}' for o in d], object),
        lambda d: np.array([f'18{o[2:]}' for o in d], object), lambda d: pd.Series(pd.NaT, range(len(d))),
    lambda d: np.where(np.arange(len(d))<MIN_DATED-1, d, None)])
def test_dates_that_say_nothing_leave_the_ladder(dates):
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        m = match_controls(moving(dates=dates))
    assert only(m)['drift'] is None
    np.testing.assert_array_equal(m.offset, match_controls(moving(dates=dates), drift=False).offset)

def test_a_mouse_without_a_usable_date_keeps_the_centre_of_the_ladder():
    def some(d):
        d = np.array(d, object); d[-5:] = None, 'soon', '2399-01-01', '', 'NaT'
        return d
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        m = match_controls(moving(dates=some))
    ladder = match_controls(moving(dates=some), drift=False)
    assert only(m)['drift'] is not None and not np.isnan(m.offset).any()
    np.testing.assert_array_equal(m.offset[-5:], ladder.offset[-5:])
    assert np.abs(m.offset[-8:-5]-ladder.offset[-8:-5]).min()>3

def test_a_tone_nobody_measured_and_one_litter():
    f = moving().frame
    m = match_controls(Cohort(f.assign(**{THRESHOLDS[5]:np.nan})))
    level = only(m)['drift']['level']
    assert (level[:,5]==0).all() and np.isfinite(level).all() and np.isnan(m.offset[:,5]).all()
    assert only(match_controls(Cohort(f.assign(litter_id='L1'))))['drift'] is None

def test_the_order_of_mice_does_not_matter():
    c = moving()
    turn = np.random.default_rng(3).permutation(len(c))
    a,b = match_controls(c),match_controls(c.subset(turn))
    np.testing.assert_allclose(b.offset, a.offset[turn], atol=1e-9)
