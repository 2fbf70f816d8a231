#!/usr/bin/env python3
"""The figures of “what the calls are worth”, made again.

    trust_figures.py nulls --seeds 9001 9002 --out nulls.csv

    nulls   cohorts in which nobody is affected: phenotypes, unplaced mice, calls
    calls   planted lines: realised false discovery rate and power where mice of lines share ranks, dB,
            or ranks and litters
    auto    planted cohorts: the number of phenotypes chosen, and recall beside that of the number given
    changed the generator changed one factor at a time, beside the model that starts from the true classes
    speed   one fit, whole job, seconds of CPU
Planted and permuted cohorts need the shared table of thresholds: set IMPC_PHENOTYPES_DATA to its folder.
"""
import argparse, os, sys, time, warnings
from functools import lru_cache
from pathlib import Path
import numpy as np, pandas as pd
from impc_phenotypes.runs.config import FOLDER
from impc_phenotypes.calls.lines import call_lines
from impc_phenotypes.calls.power import EFFECTS, planted_lines
from impc_phenotypes.data.cohort import Cohort
from impc_phenotypes.data.controls import match_controls
from impc_phenotypes.data.plant import CHANGES, ControlCopula, change, plant_cohort
from impc_phenotypes.data.records import read_records
from impc_phenotypes.data.simulate import simulate_cohort
from impc_phenotypes.evaluation.benchmark import reliability_cells
from impc_phenotypes.metrics.metrics import truth_metrics
from impc_phenotypes.models.line_mixture import LineMixture
from impc_phenotypes.models.line_null import line_nulls

@lru_cache(1)
def real():
    table = Path(os.environ['IMPC_PHENOTYPES_DATA'])/'abr_thresholds.csv.gz'
    return read_records(table, columns=FOLDER/'columns_thresholds.yaml', verbose=False)

@lru_cache(1)
def copula(): return ControlCopula().fit(real())

def permuted(n, seed):
    "Real controls, six of ten dealt at random to lines of their technical group, of the sizes of IMPC's."
    rng,cohort = np.random.default_rng(seed),real()
    f = cohort.frame[cohort.is_control].reset_index(drop=True)
    f = f.iloc[np.sort(rng.permutation(len(f))[:n])].reset_index(drop=True)
    group = Cohort(f).technical_group
    dealt = rng.random(len(f))<.6
    size = cohort.frame[cohort.is_experimental].groupby(cohort.line[cohort.is_experimental]).size().to_numpy()
    f['line'] = -1
    number = 0
    for g in np.unique(group):
        rows = rng.permutation(np.flatnonzero(dealt & (group==g)))
        while len(rows)>=3:
            k = min(int(rng.choice(size[size>=3])), len(rows))
            f.loc[rows[:k],'line'],rows,number = number,rows[k:],number+1
    mutant = f.line>=0
    name = ('Null'+f.line.astype(str)).where(mutant)
    f = f.assign(
        biological_sample_group=np.where(mutant, 'experimental', 'control'), gene_symbol=name, allele_symbol=name,
        gene_accession_id=None, zygosity=np.where(mutant, 'homozygote', None))
    return Cohort(f.drop(columns='line'), source=dict(permuted=True, seed=seed))

NULLS = {
    'simulated': lambda n, seed: simulate_cohort(n, seed=seed, null=True),
    'simulated, 30 % controls': lambda n, seed: simulate_cohort(n, seed=seed, null=True, controls=.3),
    'copula of real controls': lambda n, seed: plant_cohort(copula(), n, seed=seed, null=True),
    'permuted real controls': permuted,
}

def nulls(seeds, n, kinds):
    for kind in kinds or NULLS:
        for size in n or (2500,4000,6000,20_000):
            if kind.startswith('permuted') and size>6000: continue # there are 5,588 of them
            for seed in seeds:
                m = match_controls(NULLS[kind](size, seed))
                fit,c = LineMixture(seed=seed).fit(m),call_lines(m, by_sex=False, seed=seed)
                alone = fit.predict(m)[0].argmax(1)
                unplaced = int(((alone==len(fit.profiles_)-1) & (fit.unplaced_>0)).sum())
                found = dict(phenotypes=1+len(fit.log_e_), unplaced=unplaced)
                yield dict(kind=kind, n=size, seed=seed, lines=len(c.tested), calls=len(c.called)) | found

def calls(seeds, n, kinds):
    for kind in kinds or (*EFFECTS,'copula'):
        for seed in seeds:
            if kind=='copula':
                cohort = plant_cohort(copula(), (n or [20_000])[0], seed=seed, line_litter_icc=.1)
                m = match_controls(cohort)
                c = call_lines(m, by_sex=False, seed=seed)
                hit = pd.Series(cohort.frame.true_class.to_numpy(int), index=cohort.line).groupby(level=0).max()>0
                hit = c.tested.line.map(hit).to_numpy(bool)
            else:
                m = match_controls(real())
                planted,truth = planted_lines(m, line_nulls(m)[0], effect=kind, seed=seed)
                c = call_lines(planted, by_sex=False, seed=seed)
                hit = c.tested.gene_symbol.map(truth.set_index('gene_symbol').loss.notna()).to_numpy(bool)
            row = dict(kind=kind, seed=seed, lines=len(c.tested), affected=int(hit.sum()))
            for name,col in (('',c.tested.called),('liberal_',c.tested.called_liberal)):
                got = col.to_numpy(bool)
                row[name+'fdr'] = float((got & ~hit).sum()/max(got.sum(), 1))
                row[name+'power'] = float((got & hit).sum()/max(hit.sum(), 1))
                row[name+'calls'] = int(got.sum())
            yield row | dict(decoy_fdr=c.decoy_fdr)

def _fit(m, k, seed, truth=None):
    start = time.process_time()
    fit = LineMixture(n_phenotypes=k, seed=seed).fit(m, truth=truth)
    spent = time.process_time()-start
    q,true = fit.predict(m)[0],m.cohort.frame.true_phenotype.to_numpy(int)
    r = truth_metrics(true, q)
    scores = {k: float(r[k]) for k in ('ari','balanced_ari','macro_recall','ari_affected')}
    return scores | dict(found=1+len(fit.log_e_), seconds=spent),true,q

def auto(seeds, n, kinds):
    for size in n or (20_000,):
        for seed in seeds:
            simulated = 'simulated' in (kinds or ())
            m = match_controls(
                simulate_cohort(size, seed=seed) if simulated else plant_cohort(copula(), size, seed=seed))
            for k in (0,7):
                row,true,q = _fit(m, k, seed)
                cells = reliability_cells(true!=0, (1-q[:,0]).clip(0, 1))
                yield dict(n=size, seed=seed, given=k) | row
                if k==7 and CELLS:
                    cells.assign(n_mice=size, seed=seed).to_csv(CELLS, mode='a', header=not CELLS.exists(),
                        index=False)

def changed(seeds, n, kinds):
    for factor in kinds or ('none',*CHANGES):
        for seed in seeds:
            with_factor = {} if factor=='none' else change(factor)
            m = match_controls(plant_cohort(copula(), (n or [20_000])[0], seed=seed, **with_factor))
            k = m.cohort.frame.true_class.nunique()
            for name,truth in (('model',None),('from the truth',m.cohort.frame.true_phenotype.to_numpy(int))):
                yield dict(factor=factor, seed=seed, start=name) | _fit(m, k, seed, truth)[0]

def speed(seeds, n, kinds):
    for size in n or (59_145,):
        for seed in seeds:
            m = match_controls(simulate_cohort(size, seed=seed))
            for k in (7,0): yield dict(n=size, seed=seed, given=k) | _fit(m, k, seed)[0]

CELLS = None

def main():
    global CELLS
    what = dict(nulls=nulls, calls=calls, auto=auto, changed=changed, speed=speed)
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('figure', choices=what)
    p.add_argument('--seeds', type=int, nargs='+', default=[1])
    p.add_argument('--n', type=int, nargs='+', help='mice')
    p.add_argument('--kinds', nargs='+', help='kinds of null or of line effect, factors, or `simulated` for auto')
    p.add_argument('--out', type=Path, help='CSV file, written row by row')
    p.add_argument('--cells', type=Path, help='CSV file for counts of said and true (auto)')
    a = p.parse_args()
    warnings.filterwarnings('ignore')
    CELLS,rows = a.cells,[]
    for row in what[a.figure](a.seeds, a.n, a.kinds):
        rows.append(row)
        print({k:round(v, 3) if isinstance(v, float) else v for k,v in row.items()}, flush=True)
        if a.out: pd.DataFrame(rows).to_csv(a.out, index=False)

if __name__ == '__main__': sys.exit(main())
