"The ladder of controls: sex and year count, shrunk towards the group, and a reference keeps its own settings."
import numpy as np, pandas as pd, pytest
from impc_phenotypes.data.cohort import Cohort
from impc_phenotypes.data.controls import SHRINK, ControlReference, match_controls
from impc_phenotypes.data.schema import STEP, THRESHOLDS
from impc_phenotypes.data.simulate import simulate_cohort

def colony(n=150, gap=20., **columns):
    "One group: `n` male and `n` female controls that differ by `gap` dB, and four knockouts of each sex."
    sex = np.tile(['male','female'], n+4)
    x = np.repeat(30.+gap*(sex=='male')[:,None], 6, 1)+np.random.default_rng(0).integers(-1, 2, (2*n+8, 6))*STEP
    d = dict(specimen_id=[f'm{i}' for i in range(2*n+8)], phenotyping_center='Here', sex=sex, biological_sample_group=['control']*2*n+['experimental']*8,
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
    for k,v in dict(ladder=(), min_controls=5, weak_controls=5, bulk_mice=9).items():
        with pytest.raises(ValueError, match=f'`{k}`.*reference'): match_controls(colony(), reference=ref, **{k:v})
    assert match_controls(colony(), reference=ref).reference.ladder==('sex',)

def test_table_counts_the_mice_of_this_cohort():
    full = colony()
    ref = match_controls(full).reference
    few = full.subset(np.r_[:12, 300:308])
    t = match_controls(few, reference=ref).table().iloc[0]
    assert (t.mice, t.controls, t.placed)==(20, 12, 20)
    assert (match_controls(full).table()[['mice','controls']].to_numpy()==[[308, 300]]).all()
