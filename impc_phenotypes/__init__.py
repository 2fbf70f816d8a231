__version__ = "0.1.0"

"Hearing phenotypes in knockout mice. Names below are loaded when they are first used, so that a result can be read without loading torch."

_HOME = {
    'associate': 'biology.association',
    'call_lines': 'calls.lines',
    'Cohort': 'data.cohort',
    'compare_ages': 'calls.ages',
    'compare_few': 'calls.few_controls',
    'discover': 'phenotypes.discover',
    'download_cohort': 'data.solr',
    'enrich': 'biology.enrichment',
    'explore': 'show.explore',
    'find_lines': 'calls.lines',
    'FactorMixture': 'models.factor_mixture',
    'InputError': 'core.errors',
    'LineCalls': 'calls.lines',
    'LineMixture': 'models.line_mixture',
    'list_runs': 'runs.folder',
    'match_controls': 'data.controls',
    'Matched': 'data.controls',
    'open_run': 'runs.folder',
    'Phenotypes': 'phenotypes.result',
    'plugins': 'core.registry',
    'read_records': 'data.records',
    'reference_report': 'biology.references',
    'replication': 'similar.neighbours',
    'run_benchmark': 'evaluation.benchmark',
    'RunError': 'core.errors',
    'RunFolder': 'runs.folder',
    'similar_genes': 'similar.neighbours',
    'simulate_cohort': 'data.simulate',
    'static': 'show.static',
    'validate': 'biology.validation',
    'Validation': 'biology.validation',
    'versions': 'core.versions',
    'write_report': 'show.report',
}
__all__ = ['__version__', *_HOME]

def __getattr__(name):
    from importlib import import_module
    if name in _HOME: return getattr(import_module(f'{__name__}.{_HOME[name]}'), name)
    from .core.words import nearest
    near = None if name.startswith('_') else nearest(name, _HOME)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'" + (f'; did you mean `{near}`?' if near else ''))

def __dir__(): return sorted({*globals(), *_HOME})
