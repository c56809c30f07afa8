//! Package repositories: signed indexes, candidates, downloads and their cache.

