__version__: str

from .biology.association import associate as associate
from .biology.enrichment import enrich as enrich
from .biology.references import reference_report as reference_report
from .biology.validation import validate as validate, Validation as Validation
from .calls.ages import compare_ages as compare_ages
from .calls.few_controls import compare_few as compare_few
from .calls.lines import call_lines as call_lines, find_lines as find_lines, LineCalls as LineCalls
from .core.errors import InputError as InputError, RunError as RunError
from .core.registry import plugins as plugins
from .core.versions import versions as versions
from .data.cohort import Cohort as Cohort
from .data.controls import match_controls as match_controls, Matched as Matched
from .data.records import read_records as read_records
from .data.simulate import simulate_cohort as simulate_cohort
from .data.solr import download_cohort as download_cohort
from .evaluation.benchmark import run_benchmark as run_benchmark
from .models.factor_mixture import FactorMixture as FactorMixture
from .models.line_mixture import LineMixture as LineMixture
from .phenotypes.discover import discover as discover
from .phenotypes.result import Phenotypes as Phenotypes
from .runs.folder import list_runs as list_runs, open_run as open_run, RunFolder as RunFolder
from .show.explore import explore as explore
from .show.report import write_report as write_report
from .show.static import static as static
from .similar.neighbours import replication as replication, similar_genes as similar_genes
