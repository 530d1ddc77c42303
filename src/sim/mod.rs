//! Whole ensembles in one process, from one seed.
