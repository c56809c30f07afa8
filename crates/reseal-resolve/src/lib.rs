//! Which packages an upgrade needs, by apt's rules.

