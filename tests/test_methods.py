"Methods of higher layers reach `Phenotypes` when they are asked for, and not before."
import subprocess, sys
from repo import ROOT

CODE = '''
import sys
from impc_phenotypes.phenotypes.result import Phenotypes
light = 'impc_phenotypes.show.plots' not in sys.modules and 'plotly' not in sys.modules
ph = Phenotypes(*[None]*10)
try: ph.plot_size
except AttributeError as e: said = str(e)
print(light, hasattr(ph, '_repr_mimebundle_'), said, ph.plot_sizes.__name__, ph.plot_profiles.__name__, sep='|')
'''

def test_plots_arrive_when_asked_for():
    done = subprocess.run([sys.executable, '-c', CODE], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == 'True|False|phenotypes have no `plot_size`; did you mean `plot_sizes`?|plot_sizes|plot_profiles'
