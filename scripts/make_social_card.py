#!/usr/bin/env python3
"""Draw nbs/images/social_card.png, the picture shown where a link to the site is shared: the phenotypes found in a
simulated cohort."""
import sys, textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SENTENCE = ('Hearing phenotypes in the knockout mice of the International Mouse Phenotyping Consortium, each with '
    'its doubts')

def card(ph, title='impc_phenotypes', sentence=SENTENCE):
    "A figure of 1200 × 630 pixels: name, one sentence, mean offset of every phenotype."
    import matplotlib
    matplotlib.use('agg')
    from matplotlib import pyplot as plt
    from matplotlib.ticker import NullLocator
    from impc_phenotypes.procedures.abr import FREQUENCIES, OFFSETS
    from impc_phenotypes.show.plots import phenotype_style
    dashes, marks = dict(solid='-', dash='--', dot=':', dashdot='-.'), dict(circle='o', square='s', diamond='D',
        cross='P')
    fig = plt.figure(figsize=(12, 6.3), dpi=100, facecolor='white')
    fig.text(.05, .83, title, size=46, weight='bold', color='#12395b')
    fig.text(.05, .775, '\n'.join(textwrap.wrap(sentence, 32)), size=21, color='#333333', va='top', linespacing=1.45)
    fig.text(.05, .3, f'Found in {len(ph):,} simulated mice', size=15, color='#444444')
    ax = fig.add_axes((.56, .13, .42, .67))
    for _, row in ph.profiles.iterrows():
        look = phenotype_style(int(row.phenotype))
        ax.plot(FREQUENCIES, row[list(OFFSETS[:5])].to_numpy(float), dashes.get(look['dash'], '-'),
            marker=marks.get(look['symbol'], '^'), color=look['color'], lw=4, ms=10, label=row['name'])
    ax.set_xscale('log')
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xticks(FREQUENCIES, [f'{f:g}' for f in FREQUENCIES])
    ax.tick_params(labelsize=15)
    ax.set_xlabel('tone, kHz', size=16)
    ax.set_ylabel('dB above matched controls', size=16)
    ax.spines[['top', 'right']].set_visible(False)
    ax.grid(alpha=.25)
    fig.legend(loc='upper left', bbox_to_anchor=(.037, .29), ncols=2, fontsize=15, frameon=False, handlelength=2.6,
        columnspacing=1.5)
    return fig

if __name__ == '__main__':
    sys.path.insert(0, str(ROOT))
    from impc_phenotypes.data.simulate import simulate_cohort
    from impc_phenotypes.phenotypes.discover import discover
    card(discover(simulate_cohort(4000, seed=4, affected=.07), seed=42)).savefig(ROOT/'nbs'/'images'/'social_card.png',
        dpi=100, metadata=dict(Software=None))
