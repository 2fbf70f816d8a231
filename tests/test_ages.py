"The same line at two ages: what a change may rest on."
import numpy as np, pandas as pd, pytest
from impc_phenotypes.calls.ages import compare_ages
from impc_phenotypes.data.cohort import Cohort
from impc_phenotypes.data.simulate import simulate_cohort

TONES = [f'threshold_{t}kHz' for t in (6,12,18,24,30)]

@pytest.fixture(scope='module')
def frame():
    "Two ages of one laboratory: a cohort without any affected line, split mouse by mouse; a tone is never missing."
    f = simulate_cohort(5000, seed=21, null=True, controls=.4, missing=False).frame
    f = f[f.phenotyping_center.isin(['HMGU','WTSI'])].reset_index(drop=True)
    late = np.random.default_rng(0).random(len(f))<.5
    return f.assign(life_stage_name=np.where(late, 'Late adult', 'Early adult'))

def changes(f): return compare_ages(Cohort(f.reset_index(drop=True))).summary.set_index('line')
def late_of(f, line): return f.index[(Cohort(f).line==f'{line} | Late adult')]

@pytest.fixture(scope='module')
def plain(frame): return changes(frame)

def test_nobody_changes_and_lines_are_tested(plain):
    assert plain.p_value.notna().sum()>20 and (plain.p_value<.05).mean()<.15 and not (plain.q_value<.05).any()

def test_a_loss_at_the_second_age_is_a_change_for_the_worse(frame, plain):
    one = plain.index[plain.p_value.notna() & (plain.n_second>=4)][0]
    f = frame.copy()
    f.loc[late_of(f, one), TONES] += 30.
    new = changes(f).loc[one]
    assert 25<new.change-plain.change[one]<35 and new.change_low>0 and new.q_value<.05

def test_the_order_of_rows_does_not_matter(frame):
    f = frame.copy()
    second = (f.phenotyping_center=='WTSI') & (np.arange(len(f))%3==0) # a second rig, 15 dB off
    f.loc[second, 'metadata_equipment_model'] = 'another'
    f.loc[second, TONES] += 15.
    a,b = changes(f),changes(f.sample(frac=1, random_state=1))
    pd.testing.assert_series_equal(a.change.sort_index(), b.change.sort_index())
    pd.testing.assert_series_equal(a.p_value.sort_index(), b.p_value.sort_index())

def test_mice_without_a_tone_do_not_count(frame, plain):
    one = plain.index[plain.p_value.notna() & (plain.n_second>=4)][0]
    f = frame.copy()
    f.loc[late_of(f, one)[1:], 'threshold_30kHz'] = np.nan
    new = changes(f).loc[one]
    assert np.isnan(new.p_value) and np.isnan(new.change) and 'with every tone at one age' in new.note

def test_at_the_ceiling_a_change_is_a_limit(frame, plain):
    one = plain.index[plain.p_value.notna() & (plain.n_second>=4) & (plain.n_first>=4)][0]
    old,young = late_of(frame, one),frame.index[Cohort(frame).line==one]
    def at(rows):
        f = frame.copy()
        f.loc[rows, TONES] = np.minimum(200, Cohort(frame).ceilings[rows][:,:5])
        return changes(f).loc[one]
    late,early,both = at(old),at(young),at(old.union(young))
    assert 'at least' in late.note and late.p_value<.05
    assert 'at most' in early.note and np.isnan(early.p_value) and early.change<0
    assert 'cannot be seen' in both.note and np.isnan(both.change)

def test_an_age_without_controls_is_said(frame):
    f = frame[~((frame.life_stage_name=='Late adult') & frame.gene_symbol.isna() & (frame.phenotyping_center=='HMGU'))]
    try: said = compare_ages(Cohort(f.reset_index(drop=True)))
    except Exception as e: pytest.fail(f'{e}')
    mine = said.summary[said.summary.phenotyping_center=='HMGU']
    assert not len(mine) or mine.note.str.contains('measured from the bulk').all()
    assert any('one of the two ages' in n or 'bulk' in n or 'placed' in n for n in said.notes)
