__version__ = "0.1.0"

def add_methods():
    "Import what adds methods to results: stability, line calls, the package's plots, and plug-ins of the entry point group `impc_phenotypes.analyses`."
    from importlib import import_module
    from importlib.metadata import entry_points
    import_module('impc_phenotypes.evaluation.stability')
    import_module('impc_phenotypes.biology.lines')
    import_module('impc_phenotypes.show.plots')
    import_module('impc_phenotypes.show.latent')
    for e in entry_points(group='impc_phenotypes.analyses'):
        if not e.value.startswith('impc_phenotypes.'): e.load() # ours are commands of `analyze`, and add no methods

PACKAGES = ('impc_phenotypes', 'torch', 'fastai', 'numpy', 'pandas', 'scipy', 'scikit-learn', 'statsmodels', 'omegaconf')

def versions()->dict:
    "Package → version of what a result depends on, Python included."
    import platform
    from importlib.metadata import PackageNotFoundError, version
    out = dict(python=platform.python_version())
    for p in PACKAGES:
        try: out[p] = version(p)
        except PackageNotFoundError: pass
    return out
